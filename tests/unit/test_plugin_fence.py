"""What a plug-in raises or answers that nobody foresaw becomes one of our errors, and nothing of its text is shown."""

from __future__ import annotations

import pytest

from rotator.app.fencing import fence
from rotator.errors import OutcomeUnknown, Refused, RotatorError, Transient


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
    made = Wild(raises)
    fence(made, "acme 1", "Ask its author.")
    for name, kind in (("create", OutcomeUnknown), ("retire", OutcomeUnknown), ("list", Refused), ("check", Refused)):
        with pytest.raises(kind) as caught:
            getattr(made, name)("app")
        assert caught.value.hint == "Ask its author."
        assert "acme 1" in caught.value.message and "t0p-s3cret" not in caught.value.message
        assert caught.value.__cause__ is None
    assert made.close() is None


@pytest.mark.parametrize("ours", [Transient("later", hint="wait"), OutcomeUnknown("lost", hint="look")])
def test_what_it_may_raise_goes_through_as_it_is(ours: RotatorError) -> None:
    made = Wild(ours)
    fence(made, "acme 1", "")
    with pytest.raises(type(ours)) as caught:
        made.create("app")
    assert caught.value is ours


def test_who_interrupts_the_program_is_heard() -> None:
    made = Wild(KeyboardInterrupt())
    fence(made, "acme 1", "")
    with pytest.raises(KeyboardInterrupt):
        made.create("app")
