"""Tells an issuer what consumers read, or what came with it, where it knows a version by that; changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from rotator.errors import Refused
from rotator.ports import Comparing, Keeping, Possessing, Provider
from rotator.secret import Fields, Secret

if TYPE_CHECKING:
    from rotator.app.house import House


def let_it_prove(house: House, name: str, provider: Provider) -> Provider:
    """Let the issuer of that name ask what is held for its applications, if it wants to know; return it."""
    if isinstance(provider, Possessing):
        provider.prove_with(_holding(house, name))
    if isinstance(provider, Comparing):
        provider.compare_with(_comparing(house, name))
    if isinstance(provider, Keeping):
        provider.recall(_keeping(house, name))
    return provider


def _comparing(house: House, provider: str) -> Callable[[str, str], Secret | None]:
    def shown(application: str, key_id: str) -> Secret | None:
        """Return the value in the newest version of the consumers' document that names this key id."""
        from rotator.app.house import Use

        for one in house.config.models:
            if (one.provider, one.application) != (provider, application):
                continue
            documents, field = house.store(one.store, Use.LOOK).consumers, one.fields
            for number in reversed(documents.history(one.path)):
                with suppress(Refused):  # somebody else wrote that version
                    fields = documents.read(one.path, number).fields
                    if fields is not None and fields.text(field.get("key_id", "key_id")) == key_id:
                        return fields.secret(field.get("client_secret", "client_secret"))
        return None

    return shown


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
