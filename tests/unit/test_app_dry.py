"""What a dry run says that a rotation would do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rotator.app.dry import Asked, Rehearsal, dry_run
from rotator.model import Origin, Procedure, RetireMode, RotationOutcome
from rotator.ports import Tracked
from tests.fakes import plans
from tests.fakes.app_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def rehearsed(bench: Bench, tracked: Tracked | None, asked: Asked, **policy: Any) -> Rehearsal:
    bench.clock.jump(plans.NOW - bench.clock.now())
    with bench.house() as house:
        return dry_run(house, plans.credential(**policy), tracked, asked)


def test_a_rotation_now_is_told_step_by_step(bench: Bench) -> None:
    found = rehearsed(bench, plans.tracked(plans.version()), Asked.NOW)
    assert (found.outcome, found.reason, found.old_key_ids) == (RotationOutcome.PLANNED, "requested", ("k1",))
    assert found.sentences == (
        "prove that the current secret works",
        "create a secret for app, valid for 90 d",
        "stage it, prove it 3 times within 15 min",
        "promote it to kv/p/x",
        "retire key k1 after a grace of 24 h",
    )


def test_an_emergency_names_everything_that_ends_at_once(bench: Bench) -> None:
    found = rehearsed(bench, plans.tracked(plans.version(), plans.previous()), Asked.EMERGENCY)
    assert found.reason == "emergency"
    assert found.sentences[0] == "retire key k0, which is in its grace"
    assert found.sentences[-1] == "retire key k1 at once, without grace"


@pytest.mark.parametrize(
    ("retire", "sentence"),
    [
        (RetireMode.MANUAL, f"leave key k1 until a person retires it: rotator retire {plans.NAME} --key-id k1"),
        (RetireMode.LET_EXPIRE, "leave key k1 until it expires"),
        (RetireMode.WHEN_UNUSED, "retire key k1 after a grace of 24 h, as soon as nobody uses it"),
    ],
)
def test_what_ends_the_old_one_is_what_the_policy_says(bench: Bench, retire: RetireMode, sentence: str) -> None:
    assert rehearsed(bench, plans.tracked(plans.version()), Asked.NOW, retire=retire).sentences[-1] == sentence


END = "; the one in use ends with it"
SHOWN = "promote it to kv/p/x after one quick proof, whatever that says: until then what consumers read is dead"


@pytest.mark.parametrize(
    ("procedure", "begins"),
    [
        (Procedure.CHOSEN, [f"choose a secret and stage it, then set it for app{END}"]),
        (Procedure.READ_BACK, [f"have the issuer make a new secret for app, and stage it{END}"]),
        (
            Procedure.BLIND,
            [
                "rehearse: write a value to the staging area and read it back",
                f"have the issuer make a new secret for app, which is shown once, and stage it{END}",
            ],
        ),
    ],
)
@pytest.mark.parametrize("said_by", ["configuration", "issuer"])
@pytest.mark.parametrize("asked", [Asked.NOW, Asked.EMERGENCY])
def test_with_a_single_slot_it_is_said_when_consumers_have_none(
    bench: Bench, procedure: Procedure, begins: list[str], said_by: str, asked: Asked
) -> None:
    tracked = plans.tracked(plans.version())
    ours = replace(plans.credential(accept_gap=procedure is Procedure.BLIND), procedure=procedure)
    if said_by == "issuer":
        tracked = replace(tracked, state=replace(tracked.state, procedure=procedure))
        ours = replace(ours, procedure=Procedure.OVERLAP)
    bench.clock.jump(plans.NOW - bench.clock.now())
    with bench.house() as house:
        found = dry_run(house, ours, tracked, asked)
    proved = ["prove that the current secret works"]
    assert list(found.sentences) == [*proved, *begins, SHOWN, "prove it 3 times within 15 min"]


def test_what_would_be_refused_is_not_said_to_be_done(bench: Bench) -> None:
    ours = replace(plans.credential(), procedure=Procedure.BLIND)
    bench.clock.jump(plans.NOW - bench.clock.now())
    with bench.house() as house:
        found = dry_run(house, ours, plans.tracked(plans.version()), Asked.NOW)
    assert (found.outcome, found.old_key_ids) == (RotationOutcome.SKIPPED, ())
    assert len(found.sentences) == 1 and "accept_gap: true" in found.sentences[0]


@pytest.mark.parametrize("asked", [Asked.NOW, Asked.EMERGENCY])
def test_what_rotator_did_not_issue_is_never_said_to_be_retired(bench: Bench, asked: Asked) -> None:
    foreign = plans.tracked(plans.version(origin=Origin.FOREIGN), plans.previous(origin=Origin.FOREIGN))
    found = rehearsed(bench, foreign, asked)
    assert found.sentences[-1] == "leave key k1: rotator did not issue it"
    assert not [one for one in found.sentences if one.startswith("retire")]


def test_the_first_rotation_proves_and_retires_nothing_old(bench: Bench) -> None:
    found = rehearsed(bench, None, Asked.IF_DUE)
    assert (found.outcome, found.reason, found.old_key_ids) == (RotationOutcome.PLANNED, "never_rotated", ())
    assert len(found.sentences) == 3


def test_what_is_unfinished_comes_first_and_is_the_whole_plan(bench: Bench) -> None:
    found = rehearsed(bench, plans.tracked(plans.version(), rotation=plans.rotation()), Asked.IF_DUE)
    assert (found.outcome, found.reason) == (RotationOutcome.PLANNED, "interrupted")
    assert "finish or undo what is unfinished: rotation 7f3a stopped at staged" in found.sentences[0]


def test_a_grace_that_is_over_ends(bench: Bench) -> None:
    old = plans.previous(at=plans.NOW - 2 * plans.DAY)
    found = rehearsed(bench, plans.tracked(plans.version(), old), Asked.IF_DUE)
    assert (found.reason, found.old_key_ids) == ("grace_over", ("k0",))
    assert found.sentences == ("retire key k0: its grace of 24 h ends",)


def test_what_is_not_due_says_when_it_will_be_and_what_stands_still_says_why(bench: Bench) -> None:
    found = rehearsed(bench, plans.tracked(plans.version()), Asked.IF_DUE)
    assert (found.outcome, found.sentences) == (RotationOutcome.SKIPPED, ("not due yet: 30 d are left of 90 d",))
    paused = rehearsed(bench, plans.tracked(plans.version(), paused_at=plans.NOW), Asked.IF_DUE)
    assert "rotator resume" in paused.sentences[0]
