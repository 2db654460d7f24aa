"""Lays the description of a vendor, as the configuration has it, into what the provider works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotator.app.config import described as said
from rotator.app.config.keycloak import KeycloakProvider
from rotator.app.config.references import Reference
from rotator.app.config.registration import RegistrationProvider
from rotator.app.config.requests import Place
from rotator.clock import Clock
from rotator.ports import Provider
from rotator.secret import Secret

if TYPE_CHECKING:
    from rotator.providers import described_settings as settings

Fetching = Callable[[Reference], Callable[[], Secret]]

_ANY_SUCCESS = frozenset(range(200, 300))


def described(
    name: str, section: said.HttpProvider, fetching: Fetching, clock: Clock, folder: Path | None = None
) -> Provider:
    """Return the provider that one description makes. fetching: gives what fetches a secret, anew each time.

    folder: where all processes of one state look when the vendor was asked last.
    """
    pace = None if folder is None or section.rate is None else folder / f".pace-{name}"
    if section.procedure.single_slot:
        from rotator.providers.described_slot import DescribedSlot

        return DescribedSlot(replace(_single_slot(name, section, fetching), pace_file=pace), clock)
    from rotator.providers.described import DescribedProvider

    return DescribedProvider(replace(_side_by_side(name, section, fetching), pace_file=pace), clock)


def realm(name: str, section: KeycloakProvider, fetching: Fetching, clock: Clock) -> Provider:
    """Return the provider of one realm of Keycloak."""
    from rotator.providers import described_settings as settings
    from rotator.providers.keycloak import KeycloakProvider as Keycloak

    vendor = settings.Vendor(
        name=name,
        base_url=section.base_url,
        auth=_auth(section.auth, fetching),
        ca_file=section.ca_file,
        proxy=section.proxy,
    )
    return Keycloak(vendor, section.realm, clock)


def registration(
    name: str,
    section: RegistrationProvider,
    fetching: Fetching,
    clock: Clock,
    metadata: Mapping[str, Mapping[str, Any]],
) -> Provider:
    """Return the provider of one server that registers clients. metadata: what each credential registers as."""
    from rotator.providers import described_settings as settings
    from rotator.providers.registration import RegistrationProvider as Registration

    token = section.initial_access_token
    vendor = settings.Vendor(
        name=name,
        base_url=section.base_url,
        auth=settings.NoAuth() if token is None else settings.Bearer(fetching(token)),
        ca_file=section.ca_file,
        proxy=section.proxy,
    )
    return Registration(vendor, section.path, metadata, clock, procedure=section.procedure)


def _side_by_side(name: str, section: said.HttpProvider, fetching: Fetching) -> settings.Description:
    from rotator.providers import described_settings as settings

    create, listed = section.operations.create, section.operations.list_
    assert create is not None and listed is not None
    return settings.Description(
        **_vendor(name, section, fetching),
        create=_made(create),
        list=settings.List(
            call=_call(listed),
            items=listed.items.parts,
            key_id=listed.key_id.parts,
            tag=_parts(listed.tag),
            created_at=_parts(listed.created_at),
            expires_at=_parts(listed.expires_at),
            times=listed.expires_format,
            next=listed.next.parts if isinstance(listed.next, Place) else None,
            link=listed.next == "link",
        ),
        retire=tuple(_call(one) for one in section.operations.retire),
        live=section.slots.live,
    )


def _single_slot(name: str, section: said.HttpProvider, fetching: Fetching) -> settings.SingleSlot:
    from rotator.providers import described_settings as settings

    operations, generate = section.operations, section.slots.generate
    change = operations.set_ or operations.regenerate
    assert change is not None
    return settings.SingleSlot(
        **_vendor(name, section, fetching),
        procedure=section.procedure,
        change=_made(change),
        read=None if operations.read is None else _made(operations.read),
        length=generate.length,
        alphabet=generate.alphabet,
    )


def _vendor(name: str, section: said.HttpProvider, fetching: Fetching) -> dict[str, Any]:
    """Return what every vendor is reached with."""
    from rotator.providers import described_settings as settings

    rate = section.rate
    return {
        "name": name,
        "base_url": section.base_url,
        "auth": _auth(section.auth, fetching),
        "errors": tuple(
            settings.ErrorRule(
                status=one.status,
                means=one.class_,
                pointer=_parts(one.pointer),
                equals=one.equals,
                hint=one.hint,
            )
            for one in section.errors
        ),
        "gap": None if rate is None else timedelta(seconds=1 / rate.per_second),
        "timeout": section.timeout,
        "ca_file": section.ca_file,
        "proxy": section.proxy,
    }


def _made(operation: said.CreateOperation | said.SlotOperation) -> settings.Create:
    from rotator.providers import described_settings as settings

    return settings.Create(
        call=_call(operation),
        secret=_parts(operation.secret),
        key_id=_parts(operation.key_id),
        client_id=_parts(operation.client_id),
        created_at=_parts(operation.created_at),
        expires_at=_parts(operation.expires_at),
        times=operation.expires_format,
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
            login = section.token_url, section.client_id, secret, section.scope, basic, section.audience
            return settings.ClientCredentials(*login)
        case _:
            return settings.NoAuth()
