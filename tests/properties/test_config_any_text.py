"""Whatever a file holds, the loader answers with a configuration or with faults that have places, and nothing else."""

from __future__ import annotations

import copy
import json
import tempfile
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rotator.app.config import ConfigFaults, load
from rotator.app.config.values import (
    LONGEST,
    Hours,
    Wrong,
    format_days,
    format_duration,
    format_hours,
    longest_closed,
    parse_days,
    parse_duration,
    parse_hours,
)
from rotator.app.config.yaml import parse
from rotator.model import Window
from tests.fakes.config_files import NOT_A_DURATION, document

WHOLE = yaml.safe_load(
    document(
        "include: [more.yaml]",
        "state: {url: 'sqlite:///r.db', mode: active}",
        "service: {listen: '127.0.0.1:1', tick: 30s, concurrency: 4, jitter: 5m}",
        "audit: {on_break: alert}",
        "defaults:",
        "  policy: {grace: 1h, window: {days: mon-fri}}",
        "  verify: {params: {a: b}}",
        "  store: {fields: {scope: s}}",
    )
)
ODD_TEXTS = ["", "x", "1d", "@x", "@token", "[key]", "vault:a/b#c", "env:A", "https://x", "§", "0s", "\x00", "../x"]
ODD_KEYS = st.sampled_from(ODD_TEXTS) | st.text(max_size=8)
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(ODD_TEXTS), st.text(max_size=20)
)
ANYTHING = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_KEYS, inner, max_size=3), max_leaves=8
)


def answer(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_bytes(content)
        try:
            load(path)
        except ConfigFaults as error:
            assert error.faults
            lines = content.decode("utf-8", "replace").split("\n")
            for fault in error.faults:
                assert fault.message
                assert fault.file == path
                assert 1 <= fault.line <= len(lines) + 1
                assert fault.column >= 1


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(data, dict):
        for key, value in data.items():
            found += places(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            found += places(value, (*path, index))
    return found


@given(st.text() | st.text(alphabet="ab:-[]{}&*!|>'\"#%@`,? \n\t0123.~<", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    answer(text.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    answer(content)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_configuration_with_anything_anywhere_is_read_or_refused(data: st.DataObject) -> None:
    changed = copy.deepcopy(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from([place for place in places(changed) if place]))
        parent: Any = changed
        for part in path[:-1]:
            parent = parent[part]
        match data.draw(st.sampled_from(["replace", "remove", "add"])):
            case "remove":
                del parent[path[-1]]
            case "add" if isinstance(parent, dict):
                parent[data.draw(ODD_KEYS)] = data.draw(ANYTHING)
            case _:
                parent[path[-1]] = data.draw(ANYTHING)
        if not changed:
            break
    answer(yaml.safe_dump(changed, allow_unicode=True).encode("utf-8", "surrogatepass"))


# libyaml does not join the escaped halves of a character beyond U+FFFF, and a key may have 1024 characters (YAML 7.4).
JSON_TEXT = st.text(alphabet=st.characters(max_codepoint=0xD7FF), max_size=100)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | JSON_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(JSON_TEXT, inner),
    max_leaves=20,
)


@given(JSON)
def test_what_json_says_is_read_as_json_says_it(data: Any) -> None:
    # Every JSON text is YAML 1.2 (section 1.3 of its specification); ASCII, because YAML allows fewer characters.
    parsed = parse(json.dumps(data))
    assert not parsed.faults
    assert parsed.data == data


@given(st.integers(0, int(LONGEST.total_seconds())))
def test_a_duration_is_written_as_it_is_read(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration


@given(st.integers(0, 10**12), st.sampled_from("smhdw"))
def test_a_duration_is_read_as_it_says_or_refused_as_too_long(number: int, unit: str) -> None:
    one = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[unit]
    try:
        assert parse_duration(f"{number}{unit}").total_seconds() == number * one
    except Wrong:
        assert number * one > LONGEST.total_seconds() or number >= 10**12


@given(st.text())
def test_a_text_is_a_duration_or_wrong(text: str) -> None:
    try:
        assert timedelta(0) <= parse_duration(text) <= LONGEST
    except Wrong as wrong:
        assert wrong.message in (NOT_A_DURATION, "longer than 36500d"), "the text itself is in no message"


@given(st.frozensets(st.integers(0, 6), min_size=1))
def test_days_are_written_as_they_are_read(days: frozenset[int]) -> None:
    assert parse_days(format_days(days)) == days


MINUTES = st.times().map(lambda moment: moment.replace(second=0, microsecond=0))


@given(MINUTES, MINUTES)
def test_hours_are_written_as_they_are_read(opens: time, closes: time) -> None:
    if opens != closes or closes == time(0):
        assert parse_hours(format_hours(Hours(opens, closes))) == (opens, closes)


@given(st.frozensets(st.integers(0, 6), min_size=1), st.integers(0, 1439), st.integers(0, 1439))
def test_the_longest_closed_span_is_what_a_clock_would_show(days: frozenset[int], opens: int, closes: int) -> None:
    window = Window(days, time(opens // 60, opens % 60), time(closes // 60, closes % 60), "UTC")
    length = closes - opens if closes > opens else closes - opens + 1440
    week = 7 * 1440
    open_at = {(day * 1440 + opens + minute) % week for day in days for minute in range(length)}
    longest = run = 0
    for minute in range(2 * week):
        run = 0 if minute % week in open_at else run + 1
        longest = max(longest, run)
    assert longest_closed(window) == timedelta(minutes=longest)
