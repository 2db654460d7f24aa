"""Until when a version is valid: as its issuer says, where that can be meant. Pure.

An issuer may say it twice, in the answer to a creation and in its list, and a description may read one of them in
another form than the vendor writes (`expires_format`): seconds since 1970 taken for seconds from now are an end in two
generations. What is believed too long dies unreplaced, so the earlier end counts, and one beyond belief does not.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from rotator.model import Origin, Policy, Version
from rotator.ports import Listed
from rotator.timing import CLOCK_LIMIT, plus

BEYOND: Final = timedelta(days=3653)
"""An end that lies so far beyond what was asked stands for "never", or was misread."""


def too_far(version: Version, policy: Policy) -> bool:
    """Say whether the end of a version of ours cannot be meant: ten years beyond what was asked."""
    made, ends = version.created_at, version.expires_at
    if version.origin is not Origin.OURS or made is None or ends is None:
        return False
    return ends - made > policy.lifetime + BEYOND


def end_that_counts(version: Version, policy: Policy) -> datetime | None:
    """Return the end for which a version is replaced in time: without one, or with one too far, what was meant."""
    if version.expires_at is not None and not too_far(version, policy):
        return version.expires_at
    return plus(version.created_at, policy.lifetime) if version.created_at is not None else None


def corrected(version: Version, listed: Listed | None, policy: Policy, now: datetime) -> Version:
    """Return the version with the end that its issuer lists, where none was known or a later one.

    An end before the beginning is none. One so short that each version would be due as soon as it is promoted counts
    only when a third of it is left: else one would be made after the other.
    """
    ends = listed.expires_at if listed is not None else None
    if listed is None or ends is None:
        return version
    made = listed.created_at or version.created_at
    if version.expires_at is None:
        return replace(version, created_at=made, expires_at=ends)
    granted = ends - made if made is not None else None
    if ends >= plus(version.expires_at, -CLOCK_LIMIT) or granted is None or granted <= timedelta(0):
        return version
    early = granted > policy.rotate_before or ends - now <= granted / 3
    return replace(version, expires_at=ends) if early else version
