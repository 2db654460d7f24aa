"""Rules that hold between a process and the next one, and between two states: each test fails without its rule."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rotator.event import EventName
from rotator.model import Act, Phase, RotationOutcome, VersionState
from rotator.ports import Answer
from rotator.testing.providers import Fate
from tests.fakes.tape import Crash
from tests.fakes.world import APP, DAY, HOUR, MINUTE, NAME, PATH, SECOND, State, World, credential


def in_use(**changes: object) -> tuple[World, State, State, str]:
    """Return a world in which two states know the first version, which is due, and its key id."""
    world = World(credential(**changes))  # type: ignore[arg-type]
    a, b = world.state("state-a"), world.state("state-b")
    a.visit()
    b.visit()
    world.advance(61 * DAY)
    first = world.main_key()
    assert first is not None
    return world, a, b, first


def at(state: State, call: str, act: Callable[[], object], *, skip: int = 0) -> None:
    """Do something once, right before a call of this name."""
    left = [skip + 1]

    def hook(name: str) -> None:
        if name == call:
            left[0] -= 1
            if left[0] == 0:
                act()

    state.tape.hooks.append(hook)


def die() -> None:
    raise Crash


def killed_at(state: State, call: str) -> None:
    """Let the process die right before a call of this name."""
    at(state, call, die)
    with pytest.raises(Crash):
        state.visit()
    state.tape.hooks.clear()


# -------------------------------------------------------------------------------------------------------------- proofs


@pytest.mark.parametrize("call", ["consumers.write", "ledger.record version.promoted"])
def test_what_was_proved_before_a_restart_is_proved_anew(call: str) -> None:
    world, a, _, _ = in_use()
    killed_at(a, call)
    candidate = [one.key_id for one in world.issuer.truth(APP)][-1]
    world.advance(DAY)
    before = len(world.prover.asked)
    assert a.visit().outcome is RotationOutcome.PROMOTED
    asked = [one.answer for one in world.prover.asked[before:] if one.key_id == candidate]
    assert asked == [Answer.PROVED] * 3


def test_a_process_that_slept_after_its_last_proof_proves_again_before_it_shows_the_value() -> None:
    world, a, _, _ = in_use()
    at(a, "ledger.record version.promoted", lambda: world.advance(2 * MINUTE))
    assert a.visit().outcome is RotationOutcome.PROMOTED
    asked, written = world.prover.asked[-1], world.store.consumers.truth[-1]
    assert written.at - asked.at <= MINUTE
    world.check(quiet=True)


def test_a_value_that_comes_back_from_the_staging_area_as_another_is_not_promoted() -> None:
    world, a, _, first = in_use()

    def swap() -> None:
        document = world.store.staging.read(NAME)
        assert document.fields is not None
        swapped = document.fields.merged({"value.client_secret": "another"})
        world.store.staging._documents[NAME].versions[document.version] = swapped

    at(a, "staging.read", swap, skip=2)  # the look, the claim, and then the copy that is read back
    report = a.visit()
    assert report.error.code == "staging_differs"
    assert report.outcome is RotationOutcome.PARKED
    assert world.main_key() == first


# -------------------------------------------------------------------------------------------------------- what is named


def test_t1_the_staging_document_alone_names_what_is_in_its_grace() -> None:
    """The history of the consumers' document may be gone: some keep one version only."""
    world, a, _, first = in_use()
    a.visit()
    world.store.consumers.erase_before(PATH, 2)
    newcomer = world.state("state-c")
    for _ in range(6):
        world.advance(20 * MINUTE)
        newcomer.visit()
    assert first in world.live_ours()
    assert not newcomer.events(EventName.ORPHAN_FOUND)
    world.check()


def test_the_end_of_a_version_is_published_before_it_is_removed() -> None:
    """A sleeps before it removes the first version; then the second dies, and B must not show the first again."""
    world, a, b, first = in_use()
    a.visit()
    b.visit()
    second = world.main_key()
    assert second is not None
    world.advance(25 * HOUR)

    def the_second_dies() -> None:
        world.issuer.remove(APP, second)
        world.advance(3 * MINUTE)
        b.visit()

    at(a, "provider.retire", the_second_dies)
    a.visit()
    assert not [one for one in b.events(EventName.VERSION_PROMOTED) if one["reason"] == "reverted"]
    assert world.works(world.main())
    a.tape.hooks.clear()
    for _ in range(3):
        for state in (a, b):
            world.advance(30 * MINUTE)
            state.visit()
    assert world.works(world.main())
    assert world.main_key() not in (first, second)


def test_without_a_published_end_the_one_before_is_shown_again_when_the_promoted_one_dies() -> None:
    world, a, _, first = in_use()
    a.visit()
    second = world.main_key()
    assert second is not None
    world.advance(HOUR)
    world.issuer.remove(APP, second)
    report = a.visit()
    assert report.outcome is RotationOutcome.PROMOTED
    assert world.main_key() == first
    assert [one["reason"] for one in a.events(EventName.VERSION_PROMOTED)][-1] == "reverted"
    assert report.warning.message.startswith("The secret promoted last does not pass, so consumers read the one before")
    world.check(quiet=True)


def test_a_published_end_outlasts_a_version_in_use_that_dies_and_its_replacement() -> None:
    world, a, _, first = in_use()
    a.visit()
    second = world.main_key()
    assert second is not None
    world.advance(25 * HOUR)
    killed_at(a, "provider.retire")
    world.issuer.remove(APP, second)
    world.advance(HOUR)
    published = []
    at(a, "consumers.write", lambda: published.append(world.store.staging.read(NAME).fields.text("retiring")))
    report = a.visit()
    assert report.rotation.phase is Phase.PROMOTED
    assert published == [f'["{first}"]']
    assert report.retired == (first,), "as soon as it has a successor again"
    assert world.main_key() not in (first, second)
    assert world.store.staging.read(NAME).fields.text("retiring") == "[]"
    world.check(quiet=True)


def test_a_retirement_never_removes_what_consumers_read() -> None:
    """Somebody puts the first version back between the look and the claim."""
    world, a, _, first = in_use()
    shown = world.main()
    assert shown is not None
    a.visit()
    world.advance(25 * HOUR)
    at(a, "staging.write", lambda: world.store.consumers.put(PATH, shown))
    report = a.visit()
    assert report.error.code == "no_successor"
    assert first in world.live_ours()
    assert not world.violations


def test_the_slowest_clock_ends_a_grace() -> None:
    """Those of this machine and of the store are put forward a little; the issuer's is not."""
    world, a, _, first = in_use()
    a.visit()
    world.advance(DAY - 2 * MINUTE)
    world.clock.jump(4 * MINUTE)
    world.issuer.skew = -4 * MINUTE
    a.visit()
    assert first in world.live_ours()
    world.advance(3 * MINUTE)
    a.visit()
    assert first not in world.live_ours()


# ------------------------------------------------------------------------------------------------------------- orphans


def with_an_orphan() -> tuple[World, State, State, str]:
    """Return a world with an orphan that a lost state has made, and its key id."""
    world = World(credential(quarantine=MINUTE))
    a, b = world.state("state-a"), world.state("state-b")
    a.visit()
    b.visit()
    orphan = world.issuer.create(APP, a.kit().tag("lost", 1), 90 * DAY).version.key_id
    world.issuer.mutations.pop()
    world.advance(DAY)
    return world, a, b, orphan


def test_an_orphan_is_removed_at_the_second_look_a_quarantine_after_the_first() -> None:
    world, a, _, orphan = with_an_orphan()
    a.visit()
    assert orphan in world.live_ours()
    world.advance(59 * SECOND)
    a.visit()
    assert orphan in world.live_ours()
    world.advance(SECOND)
    assert a.visit().swept == (orphan,)
    assert [one["outcome"] for one in a.events(EventName.ORPHAN_RETIRED)] == ["intended", "succeeded"]
    world.check(quiet=True)


def test_orphans_are_removed_with_the_claim_held() -> None:
    world, a, _, orphan = with_an_orphan()
    a.visit()
    world.advance(MINUTE)
    held = []

    def look() -> None:
        fields = world.store.staging.read(NAME).fields
        held.append(fields is not None and (fields.text("stage"), fields.text("owner")))

    at(a, "provider.retire", look)
    assert a.visit().swept == (orphan,)
    assert held == [("claimed", "state-a")]


def test_nothing_is_swept_while_another_rotator_holds_the_claim() -> None:
    """What looks like an orphan may be what it is about to name."""
    world, a, b, orphan = with_an_orphan()
    a.visit()
    b.ask()
    seen = []

    def a_looks() -> None:
        seen.append(a.visit())
        assert orphan in world.live_ours()

    at(b, "provider.create", a_looks)
    world.advance(30 * SECOND)
    at(a, "ledger.note", lambda: world.advance(31 * SECOND))
    b.visit()
    assert seen[0].error.code == "claimed"
    assert not seen[0].swept
    world.check()


# --------------------------------------------------------------------------------------------------------- taking over


def test_a_claim_that_is_renewed_is_not_taken_over() -> None:
    """However long the other one proves: it shows that it lives."""
    world, a, b, _ = in_use()
    world.application.lag = 10 * MINUTE
    reports = []
    at(a, "prover.prove", lambda: reports.append(b.visit()), skip=9)
    assert a.visit().outcome is RotationOutcome.PROMOTED
    assert [one.error.code for one in reports] == ["claimed"]
    assert sum(one.act is Act.CREATE for one in world.issuer.mutations) == 2


def test_what_another_rotator_has_begun_to_undo_is_undone() -> None:
    world, a, b, first = in_use()
    killed_at(a, "consumers.write")
    world.advance(3 * MINUTE)
    world.application.roles.clear()
    killed_at(b, "provider.retire")
    world.application.roles.add("ProviderApi.Access")
    world.advance(3 * MINUTE)
    report = a.visit()
    assert report.error.code == "overtaken"
    assert report.rotation.phase is Phase.ABANDONED
    assert world.live_ours() == {first}
    for state in (a, b, a):
        world.advance(10 * MINUTE)
        state.visit()
    world.check(quiet=True)
    assert world.main_key() != first


def test_a_state_that_knows_nothing_takes_over_and_gives_what_it_replaces_its_grace() -> None:
    world, a, _, first = in_use()
    killed_at(a, "prover.prove")  # the baseline
    killed_at(a, "ledger.record version.proved")
    newcomer = world.state("state-c")
    world.advance(3 * MINUTE)
    assert newcomer.visit().outcome is RotationOutcome.PROMOTED
    versions = {one.key_id: one for one in newcomer.ledger.versions.values()}
    assert versions[first].state is VersionState.PREVIOUS
    assert versions[first].displaced.by, "this rotation has replaced it, not somebody unknown"
    assert world.store.staging.read(NAME).fields.text("previous") == f'[["{first}", 1]]'
    world.advance(25 * HOUR)
    assert newcomer.visit().retired == (first,)
    assert newcomer.ledger.tracked(NAME).last.outcome is RotationOutcome.RETIRED


def test_a_restored_ledger_that_lags_behind_the_staging_document_catches_up() -> None:
    world, a, _, first = in_use()
    world.issuer.fate(Act.CREATE, Fate.THROTTLED)
    a.visit()
    world.advance(HOUR)
    ledger = a.ledger
    older = {name: dict(getattr(ledger, name)) for name in ("states", "versions", "rotations", "intents", "requests")}
    killed_at(a, "consumers.write")
    for name, rows in older.items():
        setattr(ledger, name, rows)
    report = a.visit()
    assert report.outcome is RotationOutcome.PROMOTED, report.error
    assert sum(one.act is Act.CREATE for one in world.issuer.mutations) == 2, "the staged one was promoted"
    assert {one.key_id for one in ledger.tracked(NAME).versions} == world.live_ours() == {first, world.main_key()}


def test_what_another_state_showed_again_and_replaced_again_gets_its_grace_anew() -> None:
    """B's grace for the first version is long over; meanwhile A has put it back, and replaced it an hour ago."""
    world, a, b, first = in_use()
    b.visit()
    a.visit()
    second = world.main_key()
    assert second is not None
    world.advance(HOUR)
    world.issuer.remove(APP, second)
    assert a.visit().outcome is RotationOutcome.PROMOTED
    assert world.main_key() == first
    world.advance(26 * HOUR)
    a.visit()
    world.advance(HOUR)
    a.visit()
    assert world.main_key() not in (first, second)
    world.advance(HOUR)
    b.visit()
    assert first in world.live_ours()
    world.check()


def test_a_look_from_before_a_promotion_does_not_take_the_promoted_one_for_replaced() -> None:
    world = World()
    a, b = world.state("state-a"), world.state("state-b")
    killed_at(a, "staging.read")
    killed_at(a, "prover.prove")
    at(b, "ledger.note", a.visit)
    b.visit()
    versions = b.ledger.tracked(NAME)
    assert VersionState.PREVIOUS not in {one.state for one in versions.versions}
