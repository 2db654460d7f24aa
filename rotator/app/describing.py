"""Lays the description of a vendor, as the configuration has it, into what the provider works with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from rotator.app.config import described as said
from rotator.app.config.references import Reference
from rotator.app.config.requests import Place
from rotator.secret import Secret

if TYPE_CHECKING:
    from rotator.providers import described_settings as settings

Fetching = Callable[[Reference], Callable[[], Secret]]

_ANY_SUCCESS = frozenset(range(200, 300))


def description(name: str, section: said.HttpProvider, fetching: Fetching) -> settings.Description:
    """Return the description of one vendor. fetching: gives what fetches a secret, anew each time."""
    from rotator.providers import described_settings as settings

    create, listed = section.operations.create, section.operations.list_
    rate = section.rate
    return settings.Description(
        name=name,
        base_url=section.base_url,
        auth=_auth(section.auth, fetching),
        create=settings.Create(
            call=_call(create),
            secret=create.secret.parts,
            key_id=create.key_id.parts,
            client_id=_parts(create.client_id),
            created_at=_parts(create.created_at),
            expires_at=_parts(create.expires_at),
            times=create.expires_format,
        ),
        list=settings.List(
            call=_call(listed),
            items=listed.items.parts,
            key_id=listed.key_id.parts,
            tag=listed.tag.parts,
            created_at=_parts(listed.created_at),
            expires_at=_parts(listed.expires_at),
            times=listed.expires_format,
            next=listed.next.parts if isinstance(listed.next, Place) else None,
            link=listed.next == "link",
        ),
        retire=tuple(_call(one) for one in section.operations.retire),
        errors=tuple(
            settings.ErrorRule(
                status=one.status,
                means=one.class_,
                pointer=_parts(one.pointer),
                equals=one.equals,
                hint=one.hint,
            )
            for one in section.errors
        ),
        live=section.slots.live,
        gap=None if rate is None else timedelta(seconds=1 / rate.per_second),
        timeout=section.timeout,
        ca_file=section.ca_file,
        proxy=section.proxy,
    )


def _call(operation: said.Request) -> settings.Call:
    from rotator.providers import described_settings as settings

    return settings.Call(
        method=operation.request.method,
        path=operation.request.path,
        json=operation.body,
        form=dict(operation.form) or None,
        headers=dict(operation.headers),
        expect=_ANY_SUCCESS if operation.expect is None else frozenset(operation.expect),
    )


def _parts(place: Place | None) -> tuple[str, ...] | None:
    return None if place is None else place.parts


def _auth(section: object, fetching: Fetching) -> settings.Auth:
    from rotator.providers import described_settings as settings

    match section:
        case said.BearerAuth():
            return settings.Bearer(fetching(section.token))
        case said.BasicAuth():
            return settings.Basic(section.username, fetching(section.password))
        case said.HeaderAuth():
            return settings.Header(section.name, fetching(section.value))
        case said.ClientCredentialsAuth():
            basic = section.client_auth is said.TokenLogin.CLIENT_SECRET_BASIC
            secret = fetching(section.client_secret)
            return settings.ClientCredentials(section.token_url, section.client_id, secret, section.scope, basic)
        case _:
            return settings.NoAuth()
