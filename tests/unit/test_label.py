"""Labels fit into what an issuer keeps, tell installs, credentials and rotations apart, and are known again."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

import pytest

from rotator.errors import RotatorError
from rotator.label import LONGEST, SHORTEST, is_ours, label, prefix
from tests.fakes.tape import Crash
from tests.fakes.world import MINUTE, World, credential

INSTALL, RUN = "0011223344556677", UUID(int=2**127 + 5).hex
LENGTHS = [SHORTEST, 40, 64, LONGEST, None]


@pytest.mark.parametrize("longest", LENGTHS)
def test_a_label_fits_and_is_known_again_by_its_own_credential_only(longest: int | None) -> None:
    mine = credential("a" * 63, longest_label=longest)
    found = {label(INSTALL, mine, RUN, attempt) for attempt in range(1, 1000)}
    assert len(found) == 999, "each attempt has its own"
    assert all(len(one) <= (longest or LONGEST) for one in found)
    assert all(is_ours(INSTALL, mine, one) and one.startswith(prefix(INSTALL, mine)) for one in found)
    other = credential("a" * 62, longest_label=longest)
    assert not any(
        is_ours(INSTALL, other, one) or is_ours("8" * 16, mine, one) or is_ours("", mine, one) for one in found
    )


def test_a_label_that_fits_is_written_out() -> None:
    mine = credential("kontrolle-plus-prod", longest_label=LONGEST)
    assert label(INSTALL, mine, RUN, 2) == f"rotator/{INSTALL}/kontrolle-plus-prod/{RUN}/2"
    assert label(INSTALL, credential("b" * 63), RUN, 2).endswith(f"/{RUN}/2")


@pytest.mark.parametrize("longest", [SHORTEST, 40, 64])
def test_the_end_of_a_label_is_kept_and_rotations_are_told_apart(longest: int) -> None:
    mine = credential("a" * 63, longest_label=longest)
    end = label(INSTALL, mine, RUN, 7).removeprefix(prefix(INSTALL, mine))
    assert f"{RUN}/7".endswith(end) and len(end) >= 15
    assert label(INSTALL, mine, UUID(int=6).hex, 7) != label(INSTALL, mine, RUN, 7)


def test_what_was_labelled_before_the_length_was_changed_is_still_ours() -> None:
    long, short = credential(longest_label=None), credential(longest_label=SHORTEST)
    assert is_ours(INSTALL, short, label(INSTALL, long, RUN, 1))
    assert is_ours(INSTALL, long, label(INSTALL, short, RUN, 1))


def test_a_death_at_any_call_leaves_no_orphan_where_labels_are_short() -> None:
    world = World(credential(longest_label=SHORTEST, quarantine=MINUTE))
    state = world.state()
    state.tape.crossings = 0
    state.visit()
    total = state.tape.crossings
    assert total > 20
    for point in range(total):
        world = World(credential(longest_label=SHORTEST, quarantine=MINUTE))
        state = world.state()
        state.tape.crossings, state.tape.die_at = 0, point
        with pytest.raises(Crash):
            state.visit()
        state.tape.die_at, state.tape.dead = None, False
        for _ in range(4):
            world.advance(2 * MINUTE)
            with suppress(RotatorError):
                state.visit()
        assert world.works(world.main()), point
        assert len(world.live_ours()) == 1, point
        assert all(len(one.tag or "") <= SHORTEST for one in world.issuer.mutations)
        world.check(quiet=True)
