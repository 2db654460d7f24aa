"""Lives of certificates: by two states in turn, prepared ahead, signed by an authority, ended when unused."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from rotator.engine import Engine
from rotator.errors import RotatorError
from rotator.event import EventName
from rotator.model import Phase, RetireMode, RotationOutcome
from rotator.providers.entra import EntraProvider
from rotator.providers.entra_settings import Signing
from tests.crash.test_certificate_crashes import Issuer, World, issuer, prepare
from tests.fakes.memory_ledger import MemoryLedger
from tests.fakes.tape import Crash
from tests.fakes.world import DAY, HOUR, MINUTE, NAME, State

__all__ = ["issuer"]


@pytest.fixture(scope="module")
def signed(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    """The same issuer, asked by a provider whose certificates an authority signs."""
    folder: Path = tmp_path_factory.mktemp("authority")
    made = ["-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=CA", "-days", "900"]
    subprocess.run(["/usr/bin/openssl", "req", "-x509", *made], cwd=folder, check=True, capture_output=True)
    program = folder / "sign"
    program.write_text(
        "#!/bin/sh\n"
        f"openssl x509 -req -CA {folder}/ca.pem -CAkey {folder}/ca.key -copy_extensions copy -days 400 && "
        f"exec cat {folder}/ca.pem\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    signing = Signing((str(program),), timedelta(seconds=20))
    provider = EntraProvider(replace(issuer.provider._settings, signing=signing), issuer.clock)
    found = Issuer(issuer.sandbox, issuer.clock, provider, issuer.held)
    provider.prove_with(lambda application: found.held[application]())
    yield found
    provider.close()


def test_a_death_around_the_program_that_signs_leaves_no_orphan(signed: Issuer) -> None:
    world, state = prepare(signed, "replaced")
    state.tape.crossings = 0
    state.visit()
    points = state.tape.crossings
    fields = world.main()
    text = fields.secret("certificate") if fields is not None else None
    assert text is not None
    ours, above = x509.load_pem_x509_certificates(text.reveal().encode())
    assert above.subject == ours.issuer != ours.subject
    for point in range(1, points, 11):
        world, state = prepare(signed, "replaced")
        state.tape.crossings, state.tape.die_at = 0, point
        with pytest.raises(Crash):
            state.visit()
        world.check()
        world.settle(state)


@pytest.mark.parametrize("mode", [0o755, 0o644])
def test_a_program_that_fails_is_asked_again_and_consumers_keep_what_they_have(signed: Issuer, mode: int) -> None:
    world, state = prepare(signed, "replaced")
    before, signing = world.main_key(), signed.provider._settings.signing
    assert signing is not None
    path = Path(signing.command[0])
    right = path.read_text(encoding="utf-8")
    path.write_text("#!/bin/sh\nexit 7\n", encoding="utf-8")
    path.chmod(mode)
    for _ in range(5):
        report = state.visit()
        assert report.error is not None and str(path) in report.error.message
        assert report.outcome is not RotationOutcome.PARKED
        world.check()
        signed.clock.advance(2 * HOUR)
        if mode == 0o644:  # it is abandoned then, and what was asked for is answered
            state.ask()
    assert world.main_key() == before and len(world.live()) == 2
    path.write_text(right, encoding="utf-8")
    path.chmod(0o755)
    state.visit()
    assert world.main_key() != before
    world.settle(state)


def test_two_states_take_over_from_each_other_wherever_one_falls_silent(issuer: Issuer) -> None:
    world, state = prepare(issuer, "replaced")
    state.tape.crossings = 0
    state.visit()
    for point in range(1, state.tape.crossings, 17):
        world, first = prepare(issuer, "replaced")
        second = State(world, MemoryLedger(world.clock, owner="state-b"))  # type: ignore[arg-type]
        first.tape.crossings, first.tape.die_at = 0, point
        with pytest.raises(Crash):
            first.visit()
        world.clock.advance(3 * MINUTE)
        second.visit()
        world.check()
        first.tape.die_at = None
        first.visit()
        for _ in range(8):
            world.clock.advance(5 * HOUR)
            for state in (second, first):
                with suppress(RotatorError):
                    state.visit()
                world.check()
        assert world.works(world.main()), point
        assert len(world.live() - {world.foreign}) == 1, (point, first.tape.calls[-3:])


def test_two_states_that_are_asked_in_turn_never_end_what_the_other_has_shown(issuer: Issuer) -> None:
    world = World(issuer)
    states = [State(world, MemoryLedger(world.clock, owner=f"state-{one}")) for one in "ab"]  # type: ignore[arg-type]
    for turn in range(6):
        asked = states[turn % 2]
        asked.visit()
        asked.ask()
        asked.visit()
        states[(turn + 1) % 2].visit()
        world.check()
        world.clock.advance(13 * HOUR)
    for _ in range(6):
        world.clock.advance(13 * HOUR)
        for state in states:
            state.visit()
            world.check()
    assert len(world.live() - {world.foreign}) == 1


def test_one_that_is_prepared_waits_proved_and_is_shown_when_it_is_due(issuer: Issuer) -> None:
    world = World(issuer)
    policy = replace(world.credential.policy, prepare=DAY)
    world.credential = replace(world.credential, policy=policy)
    state = world.state()
    state.visit()
    first = world.main_key()
    world.clock.advance(59 * DAY + HOUR)
    state.visit()
    tracked = state.ledger.tracked(NAME)
    assert tracked is not None and tracked.rotation is not None and tracked.rotation.phase is Phase.PROVED
    assert world.main_key() == first and len(world.live()) == 3
    staging = world.store.staging.read(NAME).fields
    assert staging is not None and {"value.private_key", "value.certificate"} <= set(staging)
    second = State(world, MemoryLedger(world.clock, owner="state-b"))  # type: ignore[arg-type]
    second.visit()
    assert len(world.live()) == 3, "another state leaves it waiting too"
    world.clock.advance(DAY)
    state.visit()
    assert world.main_key() != first
    world.check()
    world.settle(state)
    world.clock.advance(2 * DAY)
    state.visit()
    world.settle(state)
    assert len(world.live()) == 2


class Report:
    """What Entra saw of sign-ins."""

    def __init__(self) -> None:
        self.rows: dict[str, datetime] = {}

    def last_used(self, application: str) -> dict[str, datetime]:
        assert application.startswith("certificate:")
        return self.rows


def test_one_that_is_used_lives_and_one_that_is_not_is_ended(issuer: Issuer) -> None:
    world = World(issuer)
    policy = replace(world.credential.policy, retire=RetireMode.WHEN_UNUSED)
    world.credential = replace(world.credential, policy=policy)
    state, report = world.state(), Report()

    def visit() -> None:
        kit = replace(state.kit(), activity=report)
        Engine(world.clock, state.stop, concurrency=4, jitter=timedelta(0)).visit(kit)
        world.check()

    visit()
    old = world.main_key()
    state.ask()
    visit()
    new = world.main_key()
    assert old is not None and new is not None and old != new
    for _ in range(6):
        world.clock.advance(12 * HOUR)
        report.rows = {old: world.clock.now() - HOUR, new: world.clock.now() - HOUR}
        visit()
        assert old in world.live()
    for _ in range(6):
        world.clock.advance(12 * HOUR)
        report.rows[new] = world.clock.now() - HOUR
        visit()
    assert old not in world.live() and new in world.live()
    assert state.events(EventName.VERSION_RETIRED)[-1]["reason"] == "unused"
