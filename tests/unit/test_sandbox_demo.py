"""The parts of the demo that need no issuer: its screen, and its measurements where what they measure is wrong."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.clock import ManualClock
from rotator.model import Credential, Policy, ProofPlan
from rotator.sandbox.demo_screen import Screen
from rotator.sandbox.demo_truth import audit_tells_all, issuers_books, no_value_in
from rotator.sandbox.directory import Directory
from rotator.sandbox.typed import program
from rotator.sandbox.weather import Sky, Weather
from rotator.sandbox.world import KONTROLLE_PROD, ROTATOR, demo_world
from rotator.secret import Fields
from tests.fakes.memory_store import MemoryStore

CREDENTIAL = Credential(
    name="kontrolle-plus-prod",
    provider="contoso",
    kind="entra",
    issuer="https://issuer.example/tenant",
    application=KONTROLLE_PROD,
    client_id=KONTROLLE_PROD,
    store="local",
    path="partners/kontrolle-plus/prod",
    policy=Policy(timedelta(days=90), timedelta(days=30), timedelta(days=1)),
    proof=ProofPlan(),
)


class Bench:
    """An issuer's books, a store, and rotator's hands at both."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.directory = Directory(demo_world(), Sky(Weather.calm(), "1"), self.clock)
        self.documents = MemoryStore(self.clock).consumers

    def create(self) -> str:
        expires_at = self.clock.now() + timedelta(days=90)
        made = self.directory.add(KONTROLLE_PROD, display_name="rotator/x", expires_at=expires_at, by=ROTATOR)
        return made.key_id

    def text(self, key_id: str) -> str:
        return next(one.text for one in self.directory.truth(KONTROLLE_PROD) if one.key_id == key_id)

    def show(self, text: str) -> None:
        version = self.documents.read(CREDENTIAL.path).version
        self.documents.write(CREDENTIAL.path, Fields({"client_id": "x", "client_secret": text}), version)


@pytest.fixture
def bench() -> Bench:
    return Bench()


# The issuers' books


def books(bench: Bench) -> tuple[str, bool]:
    (claim,) = issuers_books([CREDENTIAL], bench.documents, bench.directory)
    return claim.sentence, claim.holds


def test_the_version_that_consumers_read_beside_a_persons_is_as_it_should_be(bench: Bench) -> None:
    bench.show(bench.text(bench.create()))
    sentence, holds = books(bench)
    assert holds
    assert sentence == "kontrolle-plus-prod: 2 live: 1 in use, 1 made by hand, 0 unknown; 0 removed"


def test_an_orphan_is_not_as_it_should_be(bench: Bench) -> None:
    bench.show(bench.text(bench.create()))
    bench.create()
    sentence, holds = books(bench)
    assert not holds
    assert "1 unknown" in sentence


def test_consumers_with_a_dead_value_are_not_as_they_should_be(bench: Bench) -> None:
    key_id = bench.create()
    bench.show(bench.text(key_id))
    bench.directory.remove(KONTROLLE_PROD, key_id)
    sentence, holds = books(bench)
    assert not holds
    assert "1 live: 0 in use, 1 made by hand" in sentence


def test_consumers_with_nothing_to_read_are_not_as_they_should_be(bench: Bench) -> None:
    assert not books(bench)[1]


# The audit


def records(*told: tuple[str, str, str]) -> list[dict[str, object]]:
    return [{"event": event, "key_id": key_id, "outcome": outcome} for event, key_id, outcome in told]


def test_an_audit_that_names_every_change_holds(bench: Bench) -> None:
    key_id = bench.create()
    told = records(("version.created", "", "intended"), ("version.created", key_id, "succeeded"))
    claim = audit_tells_all(told, [CREDENTIAL], bench.directory)
    assert claim.holds
    assert "all 1 changes at the issuers (1 made, 0 removed)" in claim.sentence


@pytest.mark.parametrize(
    "told",
    [
        pytest.param([], id="nothing"),
        pytest.param([("version.created", "KEY", "succeeded")], id="no intent before"),
        pytest.param([("version.created", "", "intended"), ("version.created", "KEY", "unknown")], id="no success"),
        pytest.param(
            [
                ("version.created", "", "intended"),
                ("version.created", "KEY", "succeeded"),
                ("version.retired", "KEY", "intended"),
                ("version.retired", "KEY", "succeeded"),
            ],
            id="a removal that never was",
        ),
    ],
)
def test_an_audit_that_says_less_or_more_than_happened_does_not_hold(
    bench: Bench, told: list[tuple[str, str, str]]
) -> None:
    key_id = bench.create()
    filled = [(event, key_id if key == "KEY" else key, outcome) for event, key, outcome in told]
    assert not audit_tells_all(records(*filled), [CREDENTIAL], bench.directory).holds


def test_what_persons_do_at_the_issuer_is_not_expected_in_the_audit(bench: Bench) -> None:
    key_id = bench.create()
    expires_at = bench.clock.now() + timedelta(days=1)
    bench.directory.put(KONTROLLE_PROD, display_name="by hand", expires_at=expires_at)
    told = records(("version.created", "", "intended"), ("version.created", key_id, "succeeded"))
    assert audit_tells_all(told, [CREDENTIAL], bench.directory).holds


# The bytes on the disk


def values(bench: Bench) -> list[str]:
    return [one.text for one in bench.directory.truth(KONTROLLE_PROD)]


def test_a_database_without_values_is_clean(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "rotator.db").write_bytes(b"key ids and times" * 1000)
    claim = no_value_in([tmp_path / "rotator.db"], values(bench))
    assert claim.holds
    assert "16 KiB" in claim.sentence


@pytest.mark.parametrize("form", ["plain", "base64", "hex"])
def test_a_value_in_the_database_is_found_in_any_form(bench: Bench, tmp_path: Path, form: str) -> None:
    value = bench.text(bench.create()).encode()
    spoiled = {"plain": value, "base64": base64.b64encode(value), "hex": value.hex().encode()}[form]
    (tmp_path / "rotator.db").write_bytes(b"....." + spoiled + b".....")
    claim = no_value_in([tmp_path / "rotator.db"], values(bench))
    assert not claim.holds
    assert claim.sentence == "a secret value lies in rotator.db"


def test_a_scan_of_nothing_does_not_hold(bench: Bench) -> None:
    assert not no_value_in([], values(bench)).holds


# The screen


def shown(columns: int | None) -> tuple[Screen, list[str], list[str]]:
    stays: list[str] = []
    passes: list[str] = []
    return Screen(stays.append, passes.append, columns, ManualClock()), stays, passes


LONG = "not accepted yet: " + "words " * 60


def test_what_only_counts_passes_by_and_words_stay() -> None:
    screen, stays, passes = shown(80)
    screen(CREDENTIAL, "verify", "begin", "")
    screen(CREDENTIAL, "verify", "tell", "1 of 3")
    screen(CREDENTIAL, "verify", "tell", "not accepted yet: refused")
    screen(CREDENTIAL, "verify", "done", "3 of 3")
    assert passes == ["  0.0 s  kontrolle-plus-prod verify", "  0.0 s  kontrolle-plus-prod verify 1 of 3"]
    assert stays == [
        "  0.0 s  kontrolle-plus-prod    verify   not accepted yet: refused",
        "  0.0 s  kontrolle-plus-prod  ✓ verify   3 of 3",
    ]


def test_consumers_are_shown_beside_what_is_being_done() -> None:
    screen, _, passes = shown(120)
    screen(CREDENTIAL, "verify", "tell", "1 of 3")
    screen.hear_consumers(12, 0)
    assert passes[-1] == "  0.0 s  12 token requests of consumers, 0 failed  kontrolle-plus-prod verify 1 of 3"


def test_a_long_key_id_is_shown_by_its_ends() -> None:
    screen, stays, _ = shown(80)
    screen(CREDENTIAL, "create", "done", "key 220df4fa-aa6e-498c-8f85-1344e1b420dc at contoso")
    assert stays[0].endswith("key 220d…20dc at contoso")


def test_nothing_is_wider_than_the_terminal() -> None:
    screen, stays, passes = shown(80)
    screen(CREDENTIAL, "verify", "failed", LONG)
    screen(CREDENTIAL, "verify", "tell", LONG)
    screen.beside("✗", LONG, indent=2)
    screen.pass_by(LONG)
    assert max(map(len, stays)) <= 80
    assert len(passes[0]) < 80


def test_a_failure_is_told_in_full_and_a_report_on_the_way_in_two_lines() -> None:
    screen, stays, _ = shown(80)
    screen(CREDENTIAL, "verify", "failed", LONG)
    assert sum(line.count("words") for line in stays) == 60
    stays.clear()
    screen(CREDENTIAL, "verify", "tell", LONG)
    assert len(stays) == 2
    assert stays[-1].endswith(" …")


def test_without_a_terminal_nothing_is_folded_or_cut() -> None:
    screen, stays, _ = shown(None)
    screen(CREDENTIAL, "verify", "tell", LONG)
    assert stays[0].endswith(LONG.rstrip())


# What to type


def test_a_program_that_is_on_the_path_is_called_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program_file = tmp_path / "rotator"
    program_file.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program([str(program_file)]) == "rotator"


def test_a_program_that_is_not_on_the_path_is_called_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program_file = tmp_path / "my tools" / "rotator"
    program_file.parent.mkdir()
    program_file.touch(mode=0o755)
    monkeypatch.setenv("PATH", "")
    assert program([str(program_file)]) == f"'{program_file}'"


def test_a_module_that_python_runs_is_called_by_the_programs_name() -> None:
    assert program(["/somewhere/rotator/cli/main.py"]) == "rotator"
