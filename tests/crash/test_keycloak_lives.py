"""Whole lives at Keycloak with the policy `secret-rotation`: the real provider over the wire, deaths, changed minds."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from rotator.errors import NoFreeSlot
from rotator.finding import Severity
from rotator.model import Origin, Procedure
from rotator.ports import Retired
from tests.fakes.keycloak_realm import KeycloakRealm, RealmProver, managing
from tests.fakes.tape import Crash
from tests.fakes.world import DAY, HOUR, MINUTE, NAME, State, World, credential


class Bench:
    """A world whose issuer is one realm."""

    def __init__(self, **changes: Any) -> None:
        facts: dict[str, Any] = {
            "quarantine": MINUTE,
            "labelled": False,
            "procedure": Procedure.READ_BACK,
            "max_creations": 100,
        }
        self.world = World(credential(**facts, **changes))
        self.realm = KeycloakRealm(self.world.clock)
        self.world.issuer = self.world.slot = managing(self.realm, self.world.clock, self.world.store)  # type: ignore[assignment]
        self.world.check_removal = lambda key_id: None  # type: ignore[method-assign]
        self.prover = self.world.prover = RealmProver(self.realm)  # type: ignore[assignment]
        self.state: State = self.world.state()
        self.realm.call = self.state.tape.cross

    def shown(self) -> str | None:
        fields = self.world.main()
        secret = fields.secret("client_secret") if fields is not None else None
        return secret.reveal() if secret is not None else None

    def works(self) -> bool:
        return self.shown() is not None and self.realm.accepts(str(self.shown()))

    def made_by_a_person(self) -> str:
        """Come to the time at which a rotation is due, and have somebody regenerate the secret in the console."""
        self.state.visit()
        self.world.advance(3 * DAY)
        self.state.visit()
        self.world.advance(61 * DAY)
        return self.realm.regenerate()

    def live(self) -> None:
        """Make the first version, replace it, and end the one before."""
        self.state.visit()
        self.world.advance(3 * DAY)
        self.state.visit()
        self.world.advance(61 * DAY)
        self.state.visit()
        self.world.advance(25 * HOUR)
        self.state.visit()


def test_a_death_at_any_call_leaves_consumers_with_what_works_all_the_time() -> None:
    bench = Bench()
    bench.live()
    total = bench.state.tape.crossings
    assert total > 100 and bench.works()
    for point in range(total):
        bench = Bench()
        bench.state.tape.die_at = point
        with suppress(Crash):
            bench.live()
        bench.state.tape.die_at, bench.state.tape.dead = None, False
        for _ in range(8):
            assert bench.shown() is None or bench.works(), point
            bench.state.visit()
            bench.world.advance(13 * HOUR)
        bench.state.visit()
        tracked = bench.state.ledger.tracked(NAME)
        assert bench.works(), point
        assert tracked is not None and tracked.rotation is None and tracked.state.parked is None, point
        assert bench.shown() == bench.realm.client["secret"], (point, "no secret that nobody knows is in use")


def test_what_a_person_made_is_shown_before_the_one_that_consumers_read_ends() -> None:
    bench = Bench()
    made = bench.made_by_a_person()
    before = str(bench.shown())
    bench.world.advance(DAY)
    for _ in range(8):
        report = bench.state.visit()
        assert report.error is None and bench.works() and bench.shown() == made
        bench.world.advance(6 * HOUR)
    tracked = bench.state.ledger.tracked(NAME)
    assert tracked is not None and [one.origin for one in tracked.versions] == [Origin.ADOPTED]
    assert not bench.realm.accepts(before)
    bench.world.advance(59 * DAY)
    bench.state.visit()
    assert bench.works() and bench.shown() != made, "and it is replaced in its time"


def test_the_one_before_that_a_person_made_room_for_ends_with_its_grace() -> None:
    bench = Bench()
    bench.made_by_a_person()
    before = str(bench.shown())
    bench.state.visit()
    bench.world.advance(23 * HOUR)
    bench.state.visit()
    assert bench.realm.accepts(before)
    bench.world.advance(2 * HOUR)
    assert bench.state.visit().error is None
    assert bench.works() and not bench.realm.accepts(before), "known by its value, a day before its own end"


def test_two_that_persons_made_leave_what_nobody_of_ours_read_to_its_end() -> None:
    bench = Bench()
    bench.made_by_a_person()
    bench.world.advance(HOUR)
    theirs, made = bench.realm.client["secret"], bench.realm.regenerate()
    bench.state.visit()
    assert bench.works() and bench.shown() == made
    bench.world.advance(26 * HOUR)
    bench.state.visit()
    assert bench.realm.accepts(theirs)
    bench.world.advance(24 * HOUR)
    bench.state.visit()
    tracked = bench.state.ledger.tracked(NAME)
    assert tracked is not None and len(tracked.versions) == 1 and tracked.state.parked is None


def test_an_emergency_ends_what_consumers_read_and_what_a_person_made() -> None:
    bench = Bench()
    made = bench.made_by_a_person()
    before = str(bench.shown())
    bench.state.ask(emergency=True)
    assert bench.state.visit().error is None
    assert bench.works() and bench.shown() == bench.realm.client["secret"]
    assert not bench.realm.accepts(before) and not bench.realm.accepts(made)


@pytest.mark.parametrize("policy", [True, False])
def test_no_credential_is_parked_for_a_slot_that_becomes_free_by_itself(policy: bool) -> None:
    bench = Bench(accept_gap=True, every=None)
    bench.made_by_a_person()
    if policy:
        bench.prover.fit = False  # so that what the person made is not shown
    else:
        bench.realm.policies.clear()
        bench.state.ask()
    for _ in range(4):
        report = bench.state.visit()
        assert report.error is not None and report.error.code == "no_free_slot"
        assert "until" in report.error.message and "emove" not in report.error.hint
        bench.world.advance(6 * HOUR)
    tracked = bench.state.ledger.tracked(NAME)
    assert tracked is not None and tracked.state.parked is None
    bench.prover.fit = True
    bench.world.advance(2 * DAY)
    bench.state.visit()
    assert bench.works() and bench.shown() == bench.realm.client["secret"]


def test_a_death_at_any_call_is_survived_when_a_person_makes_one_meanwhile() -> None:
    def live(bench: Bench) -> None:
        bench.made_by_a_person()
        bench.state.visit()
        bench.world.advance(25 * HOUR)
        bench.state.visit()

    bench = Bench()
    live(bench)
    for point in range(bench.state.tape.crossings):
        bench = Bench()
        bench.state.tape.die_at = point
        with suppress(Crash):
            live(bench)
        bench.state.tape.die_at, bench.state.tape.dead = None, False
        for _ in range(6):
            error = bench.state.visit().error
            assert bench.works() and (error is None or "next run" in error.hint), (point, error)
            bench.world.advance(13 * HOUR)
        tracked = bench.state.ledger.tracked(NAME)
        assert tracked is not None and tracked.rotation is None and tracked.state.parked is None, point
        assert bench.shown() == bench.realm.client["secret"], point


def test_nothing_is_made_beside_the_secret_of_a_client_that_is_disabled() -> None:
    bench = Bench()
    bench.state.visit()
    bench.world.advance(3 * DAY)
    before, bench.realm.client["enabled"] = bench.realm.client["secret"], False
    bench.state.ask()
    report = bench.state.visit()
    assert report.error is not None and report.error.code == "client_disabled" and "Enable" in report.error.hint
    assert bench.realm.client["secret"] == before
    found = managing(bench.realm, bench.world.clock).check("app-1", DAY, "app", "rotator/")
    assert any(one.outcome is Severity.FAIL and "disabled" in one.message for one in found)
    bench.realm.client["enabled"] = True
    bench.state.ask()
    bench.state.visit()
    assert bench.works() and bench.shown() != before


def test_an_answer_without_its_times_is_no_version_of_another_name() -> None:
    bench = Bench()
    bench.state.visit()
    bench.world.advance(3 * DAY)
    bench.realm.lose = ["POST"]
    before = bench.shown()
    bench.state.ask()
    bench.state.visit()
    assert bench.works() and bench.shown() == bench.realm.client["secret"] != before
    bench.world.advance(3 * DAY)
    bench.state.ask()

    bench.realm.lose_the_look = True
    bench.state.visit()
    assert not bench.realm.lose and not bench.realm.lose_the_look
    fields = bench.world.main()
    made = bench.realm.attributes["client.secret.creation.time"]
    assert bench.works() and fields is not None and fields.text("key_id") == f"made-{made}"


def test_the_end_of_one_that_is_gone_ends_no_other_in_its_grace() -> None:
    bench = Bench()
    keycloak = managing(bench.realm, bench.world.clock)
    first = keycloak.create("app-1", "tag", DAY).version
    bench.world.advance(3 * DAY)  # what was there at the beginning has ended
    second = keycloak.create("app-1", "tag", DAY).version
    before = bench.realm.attributes["client.secret.rotated"]
    assert keycloak.retire("app-1", "made-0") is Retired.ALREADY_GONE
    assert bench.realm.accepts(before) and second.key_id != first.key_id
    assert keycloak.retire("app-1", first.key_id) is Retired.DONE
    assert not bench.realm.accepts(before)


def test_one_that_is_put_back_lives_no_shorter_than_it_would_have() -> None:
    bench = Bench()
    bench.realm.lives = DAY
    keycloak = managing(bench.realm, bench.world.clock)
    keycloak.create("app-1", "tag", DAY)
    keycloak.retire("app-1", "made-0")
    bench.world.advance(23 * HOUR)
    used, bench.realm.lives = bench.realm.client["secret"], 90 * DAY
    issued = keycloak.create("app-1", "tag", DAY)
    bench.world.advance(2 * HOUR)  # its own end is over; as the rotated one it lives on
    assert keycloak.retire("app-1", issued.version.key_id) is Retired.DONE
    assert bench.realm.client["secret"] == used and bench.realm.accepts(used), "and no secret that nobody knows"


def test_no_second_one_is_made_while_a_rotated_one_lives_whatever_the_procedure() -> None:
    bench = Bench()
    keycloak = managing(bench.realm, bench.world.clock)
    bench.realm.regenerate()
    bench.realm.policies.clear()  # switched off since
    used = bench.realm.attributes["client.secret.rotated"]
    assert keycloak.list("app-1").procedure is Procedure.READ_BACK
    with pytest.raises(NoFreeSlot):
        keycloak.regenerate("app-1", "tag", DAY)
    assert bench.realm.accepts(used)


@pytest.mark.parametrize(
    ("policy", "procedure"),
    [
        ({"conditions": [{"condition": "any-client"}]}, Procedure.OVERLAP),
        ({"conditions": []}, Procedure.READ_BACK),
        ({"enabled": False}, Procedure.READ_BACK),
        ({"profiles": ["another"]}, Procedure.READ_BACK),
        ({"conditions": [{"condition": "client-access-type", "configuration": {"type": ["public"]}}]},
         Procedure.READ_BACK),
        ({"conditions": [{"condition": "any-client"}, {"condition": "client-roles"}]}, Procedure.READ_BACK),
        ({"conditions": [{"condition": "any-client", "configuration": {"is-negative-logic": "true"}}]},
         Procedure.READ_BACK),
    ],
)  # fmt: skip
def test_two_are_expected_only_where_the_policy_certainly_holds(policy: dict[str, Any], procedure: Procedure) -> None:
    bench = Bench()
    bench.realm.policies[0].update(policy)
    assert managing(bench.realm, bench.world.clock).list("app-1").procedure is procedure


@pytest.mark.parametrize("seen", [True, False])
def test_where_the_policy_may_not_be_seen_the_client_tells(seen: bool) -> None:
    bench = Bench()
    keycloak = managing(bench.realm, bench.world.clock)
    keycloak.create("app-1", "tag", DAY)
    bench.realm.policies.clear()
    bench.realm.seen = seen
    assert keycloak.list("app-1").procedure is (Procedure.READ_BACK if seen else Procedure.OVERLAP)
