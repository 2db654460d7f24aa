"""`rotator adopt`: takes the version that is in the store today under management. Makes and removes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from rotator.adoption import adopt as take_over
from rotator.app import heads, items
from rotator.app.answering import see_that_it_is_managed
from rotator.app.chainwatch import see_that_change_is_allowed
from rotator.app.house import House, Use
from rotator.app.results import Remark, Rotated
from rotator.app.usage import UsageFault
from rotator.by_hand import settled
from rotator.errors import Refused
from rotator.timing import spell_moment

UNKNOWN_WINDOW: Final = "which_window"
"""The code of the failure that a person can cure by saying when it was made."""


def adopt(house: House, name: str, key_id: str | None, issued_at: datetime | None) -> Rotated:
    """Stage, prove and write down what consumers read.

    key_id: which it is at the issuer; None: find out. issued_at: when it was made, where nobody else says. Raises
    UsageFault (2) when several could be it, when the one that was named is not there, and when nobody says since when
    it is valid; Refused, Unproved and what the ports raise otherwise.
    """
    (credential,) = house.chosen([name])
    see_that_change_is_allowed(house, "adopt")
    see_that_it_is_managed(house, credential)
    house.need_secrets([credential])
    kit, started = house.kit(credential, Use.CHANGE), house.clock.now()
    try:
        rotation = take_over(kit, settled(kit), key_id, issued_at)
    except Refused as refused:
        if refused.code in ("which_key", "wrong_window", UNKNOWN_WINDOW):
            raise UsageFault(refused.message, hint=refused.hint, code=refused.code) from None
        raise
    heads.publish(house.ledger(), {credential.store: kit.store.staging}, house.clock)
    item = {**items.rotation(name, rotation, credential.path), "started_at": items.moment(started)}
    version = kit.ledger.tracked(name)
    ends = (
        next((one.expires_at for one in version.versions if one.key_id == rotation.key_id), None) if version else None
    )
    said = f"It works until {spell_moment(ends)}" if ends is not None else "Its end is not known"
    remark = Remark(name, f"{said}; rotator replaces it in time, and ends it then.")
    return Rotated((item,), (remark,), (), {name: house.place(credential)}, 0)
