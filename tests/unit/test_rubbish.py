"""Objects that refer to each other are collected after so many visits, and what stays is not looked at."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from rotator.app.rubbish import VISITS, Rubbish


class Ring:
    """Something that refers to itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def nothing_by_itself() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


def left_behind() -> weakref.ref[Ring]:
    return weakref.ref(Ring())


def test_what_visits_leave_is_collected_after_so_many_of_them() -> None:
    rubbish, gone = Rubbish(), left_behind()
    for _ in range(VISITS - 1):
        rubbish.visited()
    rubbish.look()
    assert gone() is not None
    rubbish.visited()
    rubbish.look()
    assert gone() is None


def test_what_is_there_for_good_is_put_out_of_sight_and_taken_back_when_it_is_replaced() -> None:
    rubbish = Rubbish()
    rubbish.settle()
    before = gc.get_freeze_count()
    assert before > 0
    gone = left_behind()
    gc.freeze()
    gc.collect()
    assert gone() is not None, "out of sight"
    rubbish.settle()
    assert gone() is None
