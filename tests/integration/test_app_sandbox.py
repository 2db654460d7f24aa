"""The sample configuration with the real parts: Graph through the SDK, an encrypted store, proofs over TLS."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.app.auditing import audit_verify
from rotator.app.checking import check
from rotator.app.house import House
from rotator.app.judging import orphans, verify
from rotator.app.reading import ToStream, read
from rotator.app.rotating import Wish, rotate
from rotator.finding import Severity
from rotator.sandbox.server import Sandbox
from rotator.sandbox.weather import Weather

ROOT = Path(__file__).parents[2]
NAMES = ["kontrolle-plus-prod", "site-reports-prod"]


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    with Sandbox.start(tmp_path / ".sandbox", weather=Weather.calm(), seed=7) as running:
        sample = (ROOT / "config.yaml").read_text(encoding="utf-8")
        assert sample.count("https://127.0.0.1:8443") >= 2
        path = tmp_path / "config.yaml"
        path.write_text(sample.replace("https://127.0.0.1:8443", running.base_url), encoding="utf-8")
        yield path


def opened(config: Path) -> House:
    return House.open(str(config), environ={}, argv=("rotator", "test"))


@pytest.mark.slow
def test_the_sample_configuration_rotates_against_the_sandbox(config: Path) -> None:
    with opened(config) as house:
        before = check(house)
        assert [one for one in before.findings if one.outcome is Severity.FAIL] == []
        assert not (config.parent / ".sandbox/store-key").exists(), "a check makes nothing"
    with opened(config) as house:
        found = rotate(house, Wish())
        assert [(item["name"], item["outcome"], item["error"]) for item in found.items] == [
            (name, "promoted", None) for name in NAMES
        ]
        assert found.exit_status == 0
    with opened(config) as house:
        assert [item["outcome"] for item in verify(house, NAMES).items] == ["proved", "proved"]
    with opened(config) as house:
        again = rotate(house, Wish(names=(NAMES[0],), now=True, emergency=True, note="drill"))
        assert (again.items[0]["outcome"], again.exit_status) == ("promoted", 0)
        assert {item["class"] for item in orphans(house).items} <= {"current", "foreign"}
        stream = io.BytesIO()
        read(house, NAMES[0], "key_id", ToStream(stream))
        assert stream.getvalue().decode() == again.items[0]["new_key_id"]
    with opened(config) as house:
        assert audit_verify(house).exit_status == 0
        after = check(house)
        assert after.exit_status == 0
        assert any("gets a token as expected" in one.message for one in after.findings)


def test_without_the_sandbox_every_subject_says_so(config: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(config.parent / ".sandbox", elsewhere / ".sandbox", ignore=shutil.ignore_patterns("lock"))
    text = config.read_text(encoding="utf-8")
    address = text.split("authority: ", 1)[1].split()[0]
    (elsewhere / "config.yaml").write_text(text.replace(address, "https://127.0.0.1:1"), encoding="utf-8")
    with opened(elsewhere / "config.yaml") as house:
        found = check(house)
    failing = [one for one in found.findings if one.outcome is Severity.FAIL]
    assert {one.exit_status for one in failing} == {69}
    assert {one.subject for one in failing} == {*NAMES, "contoso"}
    assert len(set(failing)) == len(failing), "what concerns a whole provider is told once"
    assert all(one.hint for one in failing)
    assert found.exit_status == 69
