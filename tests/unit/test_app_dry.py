"""What a dry run says that a rotation would do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rotator.app.dry import Asked, Rehearsal, dry_run
from rotator.model import Credential, Origin, Phase, Policy, Procedure, RetireMode, RotationOutcome, VersionState
from rotator.ports import Tracked
from tests.fakes import plans
from tests.fakes.app_bench import Bench
from tests.fakes.world import DAY, HOUR, NAME, State, World
from tests.fakes.world import credential as made


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def credential(**changes: Any) -> Credential:
    """Return one with some things changed, of its policy or its own."""
    own = {name: changes.pop(name) for name in list(changes) if name not in Policy.__dataclass_fields__}
    return replace(plans.credential(**changes), **own)


def rehearsed(bench: Bench, tracked: Tracked | None, asked: Asked, **changes: Any) -> Rehearsal:
    bench.clock.jump(plans.NOW - bench.clock.now())
    with bench.house() as house:
        return dry_run(house, credential(**changes), tracked, asked)


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


def test_a_gap_that_a_person_may_accept_by_asking_is_left_to_him(bench: Bench) -> None:
    old = plans.version(created_at=plans.NOW - 70 * plans.DAY)
    due = rehearsed(bench, plans.tracked(old), Asked.IF_DUE, procedure=Procedure.CHOSEN)
    assert due.outcome is RotationOutcome.SKIPPED
    assert due.sentences[0].startswith("left to a person: ") and "rotator rotate --now" in due.sentences[0]


def test_a_person_who_makes_versions_is_told_so(bench: Bench) -> None:
    old = plans.version(created_at=plans.NOW - 70 * plans.DAY)
    found = rehearsed(bench, plans.tracked(old), Asked.IF_DUE, by_hand="make one there")
    assert found.outcome is RotationOutcome.SKIPPED
    assert found.sentences[0].startswith("left to a person: ") and "rotator intake" in found.sentences[0]


def test_what_is_used_still_is_not_said_to_be_retired_by_time_alone(bench: Bench) -> None:
    over = plans.previous(at=plans.NOW - 2 * plans.DAY)
    ended = rehearsed(bench, plans.tracked(plans.version(), over), Asked.IF_DUE, retire=RetireMode.WHEN_UNUSED)
    assert ended.sentences[0].startswith("retire key k0 if its issuer saw nobody use it: ")


def test_what_has_no_end_is_not_said_to_expire(bench: Bench) -> None:
    endless = plans.tracked(plans.version(expires_at=None))
    found = rehearsed(bench, endless, Asked.NOW, retire=RetireMode.LET_EXPIRE)
    assert found.sentences[-1] == f"leave key k1, which has no end: rotator retire {plans.NAME} --key-id k1"


def test_what_is_made_ahead_is_said_to_be_promoted_later(bench: Bench) -> None:
    young = plans.tracked(plans.version(created_at=plans.NOW - 59 * plans.DAY - 12 * plans.HOUR))
    found = rehearsed(bench, young, Asked.IF_DUE, prepare=plans.DAY)
    assert (found.outcome, found.reason) == (RotationOutcome.PLANNED, "near_expiry")
    assert found.sentences[-2] == "promote it to kv/p/x, at 2026-11-25 00:00 UTC"


def waiting(**facts: Any) -> Tracked:
    at = plans.NOW + plans.HOUR
    ahead = plans.rotation(phase=Phase.PROVED, key_id="k2", promote_at=facts.pop("promote_at", at))
    candidate = plans.version("k2", VersionState.CANDIDATE)
    over = plans.previous(at=plans.NOW - 2 * plans.DAY)
    return plans.tracked(over, plans.version(), candidate, rotation=ahead, **facts)


def test_what_is_prepared_waits_and_nothing_is_retired_meanwhile(bench: Bench) -> None:
    found = rehearsed(bench, waiting(), Asked.IF_DUE, prepare=plans.DAY)
    assert found.outcome is RotationOutcome.SKIPPED
    assert "k2 is proved and is promoted at" in found.sentences[0]


@pytest.mark.parametrize("asked", [Asked.NOW, Asked.IF_DUE])
def test_what_is_prepared_is_what_is_promoted(bench: Bench, asked: Asked) -> None:
    at = plans.NOW + plans.HOUR if asked is Asked.NOW else plans.NOW
    found = rehearsed(bench, waiting(promote_at=at), asked, prepare=plans.DAY)
    assert (found.outcome, found.old_key_ids) == (RotationOutcome.PLANNED, ("k1",))
    assert found.sentences[:2] == ("verify once more key k2, which is prepared", "promote it to kv/p/x")
    assert "retire key k1 after a grace of 24 h" in found.sentences
    assert not [one for one in found.sentences if one.startswith("create")]


def test_an_emergency_promotes_what_is_prepared_and_makes_another_one(bench: Bench) -> None:
    found = rehearsed(bench, waiting(), Asked.EMERGENCY, prepare=plans.DAY)
    assert "retire key k1 at once" in found.sentences
    assert [one for one in found.sentences if one.startswith("create")]
    assert found.sentences[-1] == "retire key k2 at once, without grace"


def test_a_certificate_is_called_one(bench: Bench) -> None:
    found = rehearsed(bench, plans.tracked(plans.version()), Asked.NOW, carries=("certificate", "private_key"))
    assert found.sentences[0] == "prove that the current certificate works"
    assert found.sentences[1] == "create a certificate for app, valid for 90 d"


def happened(state: State) -> list[str]:
    """Return what was made, shown and ended, in order, by what the audit trail says."""
    names = {"version.created": "create", "version.promoted": "promote", "version.retired": "retire"}
    done = [one for one in state.events() if one["event"] in names and one["outcome"] == "succeeded"]
    return [f"{names[one['event']]} {one['key_id']}" for one in done]


def test_an_emergency_with_a_prepared_version_goes_as_it_is_told(bench: Bench) -> None:
    world = World(made(prepare=DAY))
    state = world.state()
    state.visit()
    world.advance(59 * DAY + 12 * HOUR)
    state.visit()
    state.ask(emergency=True)
    tracked, before = state.ledger.tracked(NAME), len(happened(state))
    bench.clock.jump(world.clock.now() - bench.clock.now())
    with bench.house() as house:
        told = dry_run(house, world.credential, tracked, Asked.EMERGENCY).sentences
    state.visit()
    first, second, third = [one.split()[1] for one in happened(state) if one.startswith("promote")]
    done = happened(state)[before:]
    assert done == [f"promote {second}", f"retire {first}", f"create {third}", f"promote {third}", f"retire {second}"]
    assert told[0] == f"verify once more key {second}, which is prepared"
    words = [one.split()[0] for one in told]
    assert [one for one in words if one in ("promote", "retire", "create")] == [one.split()[0] for one in done]
