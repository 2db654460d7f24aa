"""Whether an issuer keeps our labels: all that is known of a creation without an answer is found by them.

A field that is too short cuts them, and a description may look for them in the wrong field. What cannot be told apart
then is named for a person, and never taken for "was not made".
"""

from __future__ import annotations

from rotator.kit import Kit
from rotator.model import Intent, Origin, Trouble, Version
from rotator.ports import Listing, Tracked
from rotator.timing import CLOCK_LIMIT, plus


def unkept(tracked: Tracked, listing: Listing) -> Version | None:
    """Return a version of ours that the issuer lists with another label than the one it was given."""
    listed = {one.key_id: one.tag for one in listing.versions}
    ours = (one for one in tracked.versions if one.origin is Origin.OURS and one.tag)
    return next((one for one in ours if one.key_id in listed and listed[one.key_id] != one.tag), None)


def may_be_ours(kit: Kit, intent: Intent, before: Listing | None, now: Listing) -> list[str]:
    """Return what does not carry the label of a creation, yet may be what was made by it.

    before: what there was when it was asked for; None: the process that knew it is gone, and what was made since then
    by the issuer's word, give or take a clock, may be it.
    """
    tracked = kit.ledger.tracked(kit.credential.name)
    since = plus(intent.sent.wall, -CLOCK_LIMIT)
    named = kit.ledger.known_key_ids(kit.credential.name, since)
    if before is not None:
        named |= {one.key_id for one in before.versions}
    appeared = [one for one in now.versions if one.key_id not in named]
    if before is None:
        appeared = [one for one in appeared if one.created_at is not None and one.created_at >= since]
    kept = kit.credential.labelled and (tracked is None or unkept(tracked, now) is None)
    return [one.key_id for one in appeared if not (kept and one.tag and not (intent.tag or "").startswith(one.tag))]


def warning(kit: Kit, tracked: Tracked, listing: Listing) -> Trouble | None:
    """Return what to tell of an issuer that does not keep our labels, though its description says that it does."""
    one = unkept(tracked, listing) if kit.credential.labelled else None
    if one is None:
        return None
    message = f"{kit.credential.provider} lists key {one.key_id} without the label that it was given."
    hint = (
        "Without it a secret whose answer is lost is not found again. Look at `tag` in `list` of the provider; "
        "say `tag_length` there where the vendor cuts labels, or leave `tag` out where it changes them."
    )
    return Trouble("label_not_kept", message, hint, kit.clock.now())
