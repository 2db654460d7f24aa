"""The first start begins with one credential, and goes faster only while all goes well."""

from __future__ import annotations

from rotator.app.ramp import Ramp

NAMES = [f"c{n:02d}" for n in range(40)]


def batches(ramp: Ramp, *, bad: frozenset[str] = frozenset(), ticks: int = 6) -> list[int]:
    """Return how many new ones each tick lets begin."""
    begun: set[str] = set()
    sizes = []
    for _ in range(ticks):
        new = [name for name in ramp.admit(NAMES) if name not in begun]
        sizes.append(len(new))
        begun.update(new)
        for name in new:
            ramp.ended(name, well=name not in bad)
    return sizes


def test_each_batch_that_went_well_doubles_the_next() -> None:
    assert batches(Ramp()) == [1, 2, 4, 8, 16, 9]


def test_a_failure_makes_the_next_batch_smaller() -> None:
    assert batches(Ramp(), bad=frozenset({"c00"}), ticks=3) == [1, 1, 2]
    assert batches(Ramp(), bad=frozenset({"c07"})) == [1, 2, 4, 8, 2, 4]


def test_nobody_begins_while_a_batch_is_under_way() -> None:
    ramp = Ramp()
    assert ramp.admit(NAMES) == ["c00"]
    assert ramp.admit(NAMES) == ["c00"], "what has begun is not held up"
    ramp.ended("c33", well=False)
    ramp.ended("c00", well=True)
    assert ramp.admit(NAMES) == ["c00", "c01", "c02"]
