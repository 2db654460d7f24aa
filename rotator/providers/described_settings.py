"""What the `http` provider is told of a vendor: operations, pointers, errors, pace. Holds no secret, only fetchers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from rotator.secret import Secret
from rotator.wire.filling import Pointer
from rotator.wire.vocabulary import ErrorClass, TimeFormat

Fetch = Callable[[], Secret]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. path: below the base URL, with places. json, form: at most one. expect: the statuses of success."""

    method: str
    path: str
    json: Any = None
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    expect: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """How a version is made, and where in the answer its parts stand. client_id: None: the configured one."""

    call: Call
    secret: Pointer
    key_id: Pointer
    client_id: Pointer | None = None
    created_at: Pointer | None = None
    expires_at: Pointer | None = None
    times: TimeFormat = TimeFormat.RFC3339


@dataclass(frozen=True, slots=True, kw_only=True)
class List:
    """How versions are listed. items: leads to a list. next: leads to the next page; link: the Link header does."""

    call: Call
    items: Pointer
    key_id: Pointer
    tag: Pointer
    created_at: Pointer | None = None
    expires_at: Pointer | None = None
    times: TimeFormat = TimeFormat.RFC3339
    next: Pointer | None = None
    link: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRule:
    """What a status means, where a pointer leads to a value. pointer None: whatever the body says."""

    status: int
    means: ErrorClass
    pointer: Pointer | None = None
    equals: object = None
    hint: str = ""


@dataclass(frozen=True, slots=True)
class NoAuth:
    """Nothing is sent."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """`Authorization: Bearer`, RFC 6750."""

    token: Fetch


@dataclass(frozen=True, slots=True)
class Basic:
    """`Authorization: Basic`, RFC 7617."""

    username: str
    password: Fetch


@dataclass(frozen=True, slots=True)
class Header:
    """A header of the vendor's own."""

    name: str
    value: Fetch


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """A token of the vendor's, RFC 6749 section 4.4. basic: the secret is sent as Basic, else in the form."""

    token_url: str
    client_id: str
    client_secret: Fetch
    scope: str | None
    basic: bool


Auth = NoAuth | Bearer | Basic | Header | ClientCredentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Everything about one vendor. name: as configured, for messages. live: how many versions may work at once.

    gap: the least time between two requests, None: there is none. timeout: for one request, whole.
    """

    name: str
    base_url: str
    auth: Auth
    create: Create
    list: List
    retire: tuple[Call, ...]
    errors: tuple[ErrorRule, ...] = ()
    live: int = 2
    gap: timedelta | None = None
    timeout: timedelta = timedelta(seconds=10)
    ca_file: Path | None = None
    proxy: str | None = None
