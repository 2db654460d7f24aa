"""`rotator intake`: takes a version that a person has made in a vendor's console. Keeps no value, and shows none."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rotator.app import heads, items
from rotator.app.answering import see_that_it_is_managed
from rotator.app.chainwatch import see_that_change_is_allowed
from rotator.app.house import House, Use
from rotator.app.results import Remark, Rotated
from rotator.app.usage import UsageFault
from rotator.by_hand import take_in
from rotator.document import ours_in
from rotator.errors import Refused
from rotator.kit import Kit
from rotator.model import Credential, Rotation
from rotator.ports import Issued, Listed
from rotator.secret import Fields, Secret
from rotator.timing import plus, spell, spell_moment

LONGEST: Final = 4096
"""Characters of a value. What is longer is a file that was meant to be something else."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the person gives. client_id, issued_at, expires_at: None where he does not say: as configured, now, as long
    as the provider says."""

    value: Secret
    client_id: str | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None


def intake(house: House, name: str, given: Given, *, note: str = "") -> Rotated:
    """Stage, prove and promote what a person made; the version before is left to its end.

    Raises UsageFault (2) for a credential whose versions are not made by hand, Refused for a value that cannot be
    meant, and why it was not promoted otherwise.
    """
    (credential,) = house.chosen([name])
    if not credential.by_hand:
        raise UsageFault(f"{name} is not made by hand.", hint=f"rotator makes it itself: rotator rotate --now {name}")
    see_that_change_is_allowed(house, "take in")
    see_that_it_is_managed(house, credential)
    house.need_secrets([credential])
    kit = house.kit(credential, Use.CHANGE)
    issued = _issued(kit, credential, given)
    started = house.clock.now()
    rotation = take_in(kit, issued, note=note)
    heads.publish(house.ledger(), {credential.store: kit.store.staging}, house.clock)
    item = items.rotation(name, rotation, credential.path)
    item = {**item, "started_at": items.moment(started)}
    return Rotated((item,), (_about(name, issued, rotation),), (), {name: house.place(credential)}, 0)


def _about(name: str, issued: Issued, rotation: Rotation) -> Remark:
    """Say how long it works, and what becomes of the one before."""
    ends = issued.version.expires_at
    said = f"It works until {spell_moment(ends)}" if ends is not None else "It has no end"
    before = "; the one before is left to its own end." if rotation.old_key_ids else "."
    return Remark(name, said + before)


def _issued(kit: Kit, credential: Credential, given: Given) -> Issued:
    """Return what was made, with an id of ours: a console shows none. Raises Refused for what cannot be meant."""
    now = kit.clock.now()
    client_id = (given.client_id or _client_in_use(kit) or credential.client_id).strip()
    if not client_id:
        raise Refused(
            f"The client id of {credential.name} is not known.",
            hint=f"Say it: rotator intake {credential.name} --client-id ID; or in the configuration.",
            code="client_unknown",
        )
    issued_at = given.issued_at or now
    expires_at = given.expires_at or plus(issued_at, credential.policy.lifetime)
    _see_what_it_is(kit, credential, given.value, client_id)
    _see_its_window(credential, issued_at, expires_at, now)
    version = Listed(f"hand-{secrets.token_hex(8)}", kit.tag("intake", 1), issued_at, expires_at)
    return Issued(version, client_id, Fields({"client_secret": given.value}), None)


def _client_in_use(kit: Kit) -> str | None:
    fields = kit.store.consumers.read(kit.credential.path).fields
    return ours_in(kit, fields).text("client_id") if fields is not None else None


def _see_what_it_is(kit: Kit, credential: Credential, value: Secret, client_id: str) -> None:
    name = credential.name
    if value.looks_masked():
        raise Refused(
            f"What was given for {name} is empty, a mask, or has spaces or line ends around it.",
            hint="Copy it once more, from the first to the last character, and nothing around it.",
            code="damaged",
        )
    if value.longer_than(LONGEST):
        raise Refused(
            f"What was given for {name} is longer than any secret ({LONGEST} characters).",
            hint="Give the secret alone: the first line of a file or of standard input is taken, whole.",
            code="damaged",
        )
    if value == Secret(client_id) or value == Secret(credential.client_id):
        raise Refused(
            f"What was given as the secret of {name} is its client id.",
            hint="Give the secret; the client id is --client-id, or the first question.",
            code="swapped",
        )
    fields = kit.store.consumers.read(credential.path).fields
    if fields is not None and fields.secret(kit.field("client_secret")) == value:
        raise Refused(
            f"What was given for {name} is the secret that consumers read already.",
            hint="Make a new one in the console, and give that.",
            code="same_value",
        )


def _see_its_window(credential: Credential, issued_at: datetime, expires_at: datetime, now: datetime) -> None:
    if expires_at <= now:
        raise Refused(
            f"It ended at {spell_moment(expires_at)}, so it is of no use.",
            hint="Make a new one; or correct --issued-at or --expires-at.",
            code="expired",
        )
    if issued_at > now:
        raise Refused(
            f"It is said to be issued at {spell_moment(issued_at)}, which is still to come.",
            hint="Correct --issued-at; times without a zone are UTC.",
            code="not_yet",
        )
    left, wanted = expires_at - now, credential.policy.rotate_before
    if left <= wanted:
        raise Refused(
            f"Only {spell(left)} is left of it, and the next one is wanted {spell(wanted)} before the end.",
            hint="Make a new one; or correct --issued-at, or lower policy.rotate_before.",
            code="lifetime_too_short",
        )
    if expires_at <= issued_at:
        raise Refused("It would end before it began.", hint="Correct --issued-at or --expires-at.", code="expired")
