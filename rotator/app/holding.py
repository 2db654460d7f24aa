"""Tells an issuer what consumers read now, or what came with it, where it takes that as a proof; changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rotator.ports import Keeping, Possessing, Provider
from rotator.secret import Fields

if TYPE_CHECKING:
    from rotator.app.house import House


def let_it_prove(house: House, name: str, provider: Provider) -> Provider:
    """Let the issuer of that name ask what is held for its applications, if it wants to know; return it."""
    if isinstance(provider, Possessing):
        provider.prove_with(_holding(house, name))
    if isinstance(provider, Keeping):
        provider.recall(_keeping(house, name))
    return provider


def _keeping(house: House, provider: str) -> Callable[[str], Fields | None]:
    def kept(application: str) -> Fields | None:
        """Return what came with the last version of an application; None when nothing did."""
        from rotator.app.house import Use
        from rotator.staging import decode

        for one in house.config.models:
            if (one.provider, one.application) == (provider, application):
                found = house.store(one.store, Use.LOOK).staging.read(one.name).fields
                keepsakes = decode(found, one.name).keepsakes if found is not None else ()
                return keepsakes[-1][1] if keepsakes else None
        return None

    return kept


def _holding(house: House, provider: str) -> Callable[[str], Fields | None]:
    def held(application: str) -> Fields | None:
        """Return our fields of what consumers of the application read; None when nothing of ours is there."""
        from rotator.app.house import Use

        for one in house.config.models:
            if (one.provider, one.application) == (provider, application):
                document = house.store(one.store, Use.LOOK).consumers.read(one.path).fields
                if document is None:
                    return None
                found = {field: document.secret(one.fields.get(field, field)) for field in one.carries}
                return Fields({field: value for field, value in found.items() if value is not None})
        return None  # it has left the configuration, so that nobody knows where its store was

    return held
