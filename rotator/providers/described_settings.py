"""What the `http` provider is told of a vendor: operations, pointers, errors, pace. Holds no secret, only fetchers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from rotator.model import Procedure
from rotator.secret import Secret
from rotator.wire.filling import Pointer
from rotator.wire.vocabulary import Alphabet, ErrorClass, TimeFormat

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
    """How a version is made, or read, and where in the answer its parts stand. client_id: None: the configured one.

    secret None: the value is not in the answer, since we chose it. key_id None: the vendor has none.
    """

    call: Call
    secret: Pointer | None
    key_id: Pointer | None
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
    tag: Pointer | None
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
    audience: str | None = None


Auth = NoAuth | Bearer | Basic | Header | ClientCredentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """How one vendor is reached. name: as configured, for messages.

    gap: the least time between two requests, None: there is none. pace_file: where all processes look when the last one
    was made; None: only this one counts. timeout: for one request, whole.
    """

    name: str
    base_url: str
    auth: Auth
    errors: tuple[ErrorRule, ...] = ()
    gap: timedelta | None = None
    pace_file: Path | None = None
    timeout: timedelta = timedelta(seconds=10)
    ca_file: Path | None = None
    proxy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Description(Vendor):
    """A vendor at which versions live side by side. live: how many may work at once."""

    create: Create
    list: List
    retire: tuple[Call, ...]
    live: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleSlot(Vendor):
    """A vendor with a single slot. change: sets our value, or has it make one. read: None: it shows a value once.

    length, alphabet: of a value that we choose.
    """

    procedure: Procedure
    change: Create
    read: Create | None = None
    length: int = 48
    alphabet: Alphabet = Alphabet.BASE64URL
