"""In whose name a run acts."""

from __future__ import annotations

import os
import pwd

import pytest

from rotator.app.actor import actor_of

ROOT = pwd.getpwuid(0).pw_name
OTHER = next(one for one in pwd.getpwall() if one.pw_uid not in (0, os.getuid()))
NOBODY_HAS = 4_000_000_123


def test_a_user_acts_under_the_login_name_of_the_real_uid() -> None:
    assert actor_of({}, OTHER.pw_uid) == OTHER.pw_name


def test_root_under_sudo_acts_in_the_name_of_the_caller() -> None:
    assert actor_of({"SUDO_UID": str(OTHER.pw_uid), "SUDO_USER": "mallory"}, 0) == OTHER.pw_name


def test_nobody_but_root_can_borrow_a_name_through_the_environment() -> None:
    assert actor_of({"SUDO_UID": "0", "SUDO_USER": ROOT}, OTHER.pw_uid) == OTHER.pw_name


@pytest.mark.parametrize("said", ["", "-1", "٣", "12x", "99999999999", " 0"])
def test_a_caller_that_is_no_uid_is_not_believed(said: str) -> None:
    assert actor_of({"SUDO_UID": said}, 0) == ROOT


def test_a_uid_without_an_entry_is_named_by_its_number() -> None:
    assert actor_of({}, NOBODY_HAS) == f"uid {NOBODY_HAS}"
    assert actor_of({"SUDO_UID": str(NOBODY_HAS)}, 0) == f"uid {NOBODY_HAS}"
