"""What a plug-in raises or answers that nobody foresaw becomes one of our errors, and nothing of its text is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest

from rotator.app.fencing import fence
from rotator.errors import OutcomeUnknown, Refused, RotatorError, Transient
from rotator.model import Procedure
from rotator.ports import Issued, Keeping, Retired, SignInActivity, Slot
from tests.fakes.memory_issuer import MemoryIssuer
from tests.fakes.world import DAY, World


class Wild:
    """raises: what every call ends with; None: it answers nothing."""

    def __init__(self, raises: BaseException | None) -> None:
        self.raises = raises

    def create(self, *_: object) -> object:
        if self.raises is not None:
            raise self.raises
        return None

    list = retire = check = close = set = create


@pytest.mark.parametrize("raises", [ValueError("t0p-s3cret"), SystemExit("t0p-s3cret"), None])
def test_what_nobody_foresaw_is_unclear_after_a_change_and_else_a_refusal(raises: BaseException | None) -> None:
    made = fence(Wild(raises), "acme 1", "Ask its author.")
    for name, kind in (("create", OutcomeUnknown), ("retire", OutcomeUnknown), ("list", Refused), ("check", Refused)):
        with pytest.raises(kind) as caught:
            getattr(made, name)("app")
        assert caught.value.hint == "Ask its author."
        assert "acme 1" in caught.value.message and "t0p-s3cret" not in caught.value.message
        assert caught.value.__cause__ is None
    assert made.close() is None


@pytest.mark.parametrize("ours", [Transient("later", hint="wait"), OutcomeUnknown("lost", hint="look")])
def test_what_it_may_raise_goes_through_as_it_is(ours: RotatorError) -> None:
    made = fence(Wild(ours), "acme 1", "")
    with pytest.raises(type(ours)) as caught:
        made.create("app")
    assert caught.value is ours


def test_who_interrupts_the_program_is_heard() -> None:
    made = fence(Wild(KeyboardInterrupt()), "acme 1", "")
    with pytest.raises(KeyboardInterrupt):
        made.create("app")


@dataclass(frozen=True, slots=True)
class Narrow:
    """Nothing can be put onto it."""

    procedure: Procedure = Procedure.OVERLAP

    def retire(self, *_: object) -> object:
        raise ValueError("t0p-s3cret")

    def last_used(self, *_: object) -> object:
        raise ValueError("t0p-s3cret")


def test_what_takes_no_attributes_is_fenced_too_and_can_do_what_it_could() -> None:
    made = fence(Narrow(), "acme 1", "")
    with pytest.raises(OutcomeUnknown, match=r"acme 1 failed at `retire` \(ValueError\)"):
        made.retire("app", "k1")
    assert made.procedure is Procedure.OVERLAP
    assert isinstance(made, SignInActivity)
    assert not isinstance(made, Slot | Keeping)
    assert not hasattr(made, "create")


class Careful:
    """Counts on an error of its own code."""

    def list(self, *_: object) -> object:
        raise KeyError("t0p-s3cret")

    def check(self, *_: object) -> Sequence[object]:
        try:
            self.list()
        except KeyError:
            return []
        raise AssertionError


def test_what_it_calls_of_its_own_is_not_fenced() -> None:
    assert fence(Careful(), "acme 1", "").check() == ()


class WildArea:
    __slots__ = ()

    def read(self, *_: object) -> object:
        raise ValueError("t0p-s3cret")

    def history(self, *_: object) -> object:
        return iter((1, 2))

    write = erase_before = read


class WildStore:
    __slots__ = ()

    @property
    def consumers(self) -> object:
        return WildArea()

    @property
    def staging(self) -> object:
        raise ValueError("t0p-s3cret")


def test_the_two_parts_of_a_store_are_fenced() -> None:
    made = fence(WildStore(), "safe 1", "Ask its author.")
    for name, kind in (("read", Refused), ("write", OutcomeUnknown), ("erase_before", Refused)):
        with pytest.raises(kind) as caught:
            getattr(made.consumers, name)("p/x")
        assert "safe 1 failed at" in caught.value.message and "t0p-s3cret" not in caught.value.message
        assert caught.value.__cause__ is None
    assert made.consumers.history("p/x") == (1, 2)
    with pytest.raises(Refused, match=r"safe 1 failed at `staging` \(ValueError\)"):
        _ = made.staging


class RaisesAfter(MemoryIssuer):
    """Does what it is asked, and fails then."""

    broken = ""

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        issued = super().create(application, tag, lifetime)
        if self.broken == "create":
            self.remove(application, issued.version.key_id)
            raise LookupError("t0p-s3cret")
        return issued

    def retire(self, application: str, key_id: str) -> Retired:
        if self.broken == "retire":
            raise LookupError("t0p-s3cret")
        return super().retire(application, key_id)


@pytest.mark.parametrize("broken", ["create", "retire"])
def test_who_waits_for_a_rotation_hears_what_failed(broken: str) -> None:
    world = World()
    issuer = RaisesAfter(world.clock)
    issuer.applications = world.issuer.applications
    world.issuer = fence(issuer, "acme 1", "Ask its author.")
    state = world.state()
    state.visit()
    world.advance(61 * DAY)
    if broken == "retire":
        state.visit()
        world.advance(2 * DAY)
    issuer.broken = broken
    report = state.visit()
    assert report.error is not None
    assert f"acme 1 failed at `{broken}` (LookupError)" in report.error.message
    assert "t0p-s3cret" not in report.error.message
