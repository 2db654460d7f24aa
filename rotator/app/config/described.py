"""The sections that describe a vendor with an admin API: requests with places in braces, answers by JSON pointers.

The description is data: no code, no conditions, no loops. What it means stands in `rotator.providers.described`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import Field, Tag

from rotator.app.config import values
from rotator.app.config.parts import (
    OR_EMPTY,
    OR_NONE_OF_THEM,
    FilePath,
    First,
    MomentLong,
    Parsed,
    ProxyUrl,
    SecretRef,
    Section,
    SomeText,
    Text,
    WebBase,
    WebUrl,
    tagged,
)
from rotator.app.config.requests import (
    ErrorStatus,
    HeaderName,
    Json,
    LabelLength,
    NextPage,
    OwnHeaderName,
    PerSecond,
    PointerText,
    RequestLine,
    Scalar,
    Statuses,
)
from rotator.app.config.values import Wrong
from rotator.model import Procedure
from rotator.wire.filling import alone, places
from rotator.wire.vocabulary import Alphabet, ErrorClass, TimeFormat

GIVEN_BY_US: Final[Mapping[str, frozenset[str]]] = {
    "create": frozenset({"tag", "lifetime_seconds", "expires_at"}),
    "list": frozenset(),
    "retire": frozenset({"key_id"}),
    "set": frozenset({"tag", "value", "lifetime_seconds", "expires_at"}),
    "regenerate": frozenset({"tag", "lifetime_seconds", "expires_at"}),
    "read": frozenset(),
}
"""The places that rotator fills, by operation; all others are filled from `with` of the credential."""

OURS: Final = frozenset({"tag", "key_id", "value", "lifetime_seconds", "expires_at"})
"""The names of places that `with` cannot give."""


# ---------------------------------------------------------------------------------------------------------------- auth


class BearerAuth(Section):
    """Send a token."""

    method: Literal["bearer"]
    """The way to log in."""
    token: SecretRef
    """The token."""


class BasicAuth(Section):
    """Send a user name and a password."""

    method: Literal["basic"]
    """The way to log in."""
    username: SomeText
    """The user."""
    password: SecretRef
    """The password."""


class HeaderAuth(Section):
    """Send a header of the vendor's own."""

    method: Literal["header"]
    """The way to log in."""
    name: HeaderName
    """The header."""
    value: SecretRef
    """What it holds."""


class TokenLogin(StrEnum):
    """How we prove who we are when we ask for a token."""

    CLIENT_SECRET_POST = "client_secret_post"
    CLIENT_SECRET_BASIC = "client_secret_basic"


class ClientCredentialsAuth(Section):
    """Ask the vendor for a token, by a client of our own."""

    method: Literal["client_credentials"]
    """The way to log in."""
    token_url: WebUrl
    """Where tokens are had."""
    client_id: SomeText
    """The client that rotator is."""
    client_secret: SecretRef
    """Its secret."""
    scope: SomeText | None = None
    """What is asked for."""
    audience: SomeText | None = None
    """For whom the token is to be, where the vendor wants that said."""
    client_auth: TokenLogin = TokenLogin.CLIENT_SECRET_POST
    """How the secret is sent."""


class NoAuth(Section):
    """Send nothing."""

    method: Literal["none"]
    """The way to log in."""


HttpAuth = Annotated[
    Annotated[BearerAuth, Tag("@bearer")]
    | Annotated[BasicAuth, Tag("@basic")]
    | Annotated[HeaderAuth, Tag("@header")]
    | Annotated[ClientCredentialsAuth, Tag("@client_credentials")]
    | Annotated[NoAuth, Tag("@none")],
    tagged("method"),
]

# ---------------------------------------------------------------------------------------------------------- operations


class Request(Section):
    """One request to the vendor."""

    request: RequestLine
    """Method and path below `base_url`; `{name}` is a place."""
    body: Annotated[Json | None, Field(alias="json")] = None
    """What is sent as JSON."""
    form: Annotated[Mapping[str, Text], OR_EMPTY] = {}
    """What is sent as a form, instead of `json`."""
    headers: Annotated[Mapping[OwnHeaderName, SomeText], OR_EMPTY] = {}
    """Further headers."""
    expect: Statuses | None = None
    """The statuses of success; any 2xx when it is not said."""

    @property
    def places(self) -> frozenset[str]:
        """Return the names of the places to be filled."""
        return places(self._templates)

    @property
    def alone(self) -> frozenset[str]:
        """Return the names of those that are sent without other text beside them."""
        return alone(self._templates)

    @property
    def _templates(self) -> list[Any]:
        return [re.split("[/?&=:]", self.request.path), self.body or {}, dict(self.form), dict(self.headers)]


class CreateOperation(Request):
    """Make a version."""

    secret: PointerText
    """Where in the answer its value stands."""
    key_id: PointerText
    """Where its id stands."""
    client_id: PointerText | None = None
    """Where the client id stands, when the vendor gives a new one; else `provider.client_id` of the credential."""
    created_at: PointerText | None = None
    """Where it says when it was made."""
    expires_at: PointerText | None = None
    """Where it says when the version ends."""
    expires_format: TimeFormat = TimeFormat.RFC3339
    """How these times are written."""


class SlotOperation(Request):
    """Set, regenerate or read the only version of an application."""

    secret: PointerText | None = None
    """Where in the answer its value stands; needed for `regenerate` and `read`."""
    key_id: PointerText | None = None
    """Where its id stands; where the vendor has none, rotator makes one."""
    client_id: PointerText | None = None
    """Where the client id stands; else `provider.client_id` of the credential."""
    created_at: PointerText | None = None
    """Where it says when it was made."""
    expires_at: PointerText | None = None
    """Where it says when the version ends."""
    expires_format: TimeFormat = TimeFormat.RFC3339
    """How these times are written."""


class ListOperation(Request):
    """List the versions of an application, foreign ones too."""

    items: PointerText
    """Where the list stands."""
    key_id: PointerText
    """In an item: where its id stands."""
    tag: PointerText | None = None
    """In an item: where the label stands that `create` sent as `{tag}`; null: the vendor keeps none."""
    tag_length: LabelLength | None = None
    """How many characters of a label the vendor keeps; null: all of ours, which have 128 at most."""
    created_at: PointerText | None = None
    """In an item: when it was made."""
    expires_at: PointerText | None = None
    """In an item: when it ends."""
    expires_format: TimeFormat = TimeFormat.RFC3339
    """How these times are written."""
    next: NextPage | None = None
    """Where the address of the next page stands; `link`: in the Link header."""


class RetireOperation(Request):
    """Remove a version."""


def _one_or_more(found: Any) -> Any:
    return found if isinstance(found, list) else [found]


class Operations(Section):
    """What the vendor can do: create, list and retire where versions live side by side, else set or regenerate."""

    create: CreateOperation | None = None
    """Make a version."""
    list_: Annotated[ListOperation | None, Field(alias="list")] = None
    """List the versions of an application."""
    retire: Annotated[list[RetireOperation], First(_one_or_more)] = Field(default=[])
    """Remove a version; several requests are made in their order, such as deactivate and then delete."""
    set_: Annotated[SlotOperation | None, Field(alias="set")] = None
    """Replace the only version by a value that we choose."""
    regenerate: SlotOperation | None = None
    """Replace the only version by one that the vendor chooses."""
    read: SlotOperation | None = None
    """Read the only version."""

    def every(self) -> Iterator[tuple[tuple[str | int, ...], Request]]:
        """Yield each operation that is described, and where it stands."""
        named: tuple[tuple[str, Request | None], ...] = (
            ("create", self.create),
            ("list", self.list_),
            ("set", self.set_),
            ("regenerate", self.regenerate),
            ("read", self.read),
        )
        yield from (((name,), one) for name, one in named if one is not None)
        yield from ((("retire", number), one) for number, one in enumerate(self.retire))


class Chooser(StrEnum):
    """Who chooses a value."""

    VENDOR = "vendor"
    CALLER = "caller"


def _one_at_least(found: object) -> int:
    if type(found) is not int or not 1 <= found <= 100_000:
        raise Wrong("must be a whole number, at least 1")
    return found


def _long_enough(found: object) -> int:
    if type(found) is not int or not 32 <= found <= 512:
        raise Wrong("must be a number of characters, from 32 to 512")
    return found


class Generate(Section):
    """How we choose a value."""

    length: Annotated[int, Parsed(_long_enough, {"type": "integer", "minimum": 32, "maximum": 512})] = 48
    """Characters."""
    alphabet: Alphabet = Alphabet.BASE64URL
    """Which ones."""


class Slots(Section):
    """How many versions may live, and who chooses their values."""

    live: Annotated[int, Parsed(_one_at_least, {"type": "integer", "minimum": 1})] = 2
    """How many may work at once."""
    value: Chooser = Chooser.VENDOR
    """Who chooses the value."""
    generate: Annotated[Generate, OR_EMPTY] = Field(default_factory=Generate)
    """How we choose it."""


class ErrorRule(Section):
    """What an answer means."""

    status: ErrorStatus
    """The status."""
    pointer: PointerText | None = None
    """Where in the answer a value stands that decides; null: the status alone does."""
    equals: Scalar = None
    """The value that must stand there."""
    class_: Annotated[ErrorClass, Field(alias="class")]
    """Who must act: nobody (transient), a person over there (refused), a right is missing (denied), or no_free_slot."""
    hint: Text = ""
    """What to do."""


class Rate(Section):
    """How fast the vendor may be asked."""

    per_second: PerSecond
    """Requests in a second."""


class HttpProvider(Section):
    """Any vendor with an admin API, described."""

    kind: Literal["http"]
    """Who issues the versions."""
    base_url: WebBase
    """Where the API is."""
    ca_file: FilePath | None = None
    """Certificates to trust instead of the system's."""
    proxy: ProxyUrl | None = None
    """The proxy to go through; those of the environment are not used."""
    auth: HttpAuth
    """How to log in."""
    slots: Annotated[Slots, OR_EMPTY] = Field(default_factory=Slots)
    """How many versions may live."""
    operations: Operations
    """What the vendor can do."""
    errors: Annotated[list[ErrorRule], OR_NONE_OF_THEM] = Field(default=[])
    """What answers mean; the first that fits."""
    rate: Rate | None = None
    """How fast the vendor may be asked."""
    timeout: MomentLong = values.parse_duration("10s")
    """For one request, whole."""

    @property
    def issuer(self) -> str:
        """Return what a binding calls this issuer: the same whatever the provider is called here."""
        return self.base_url.lower()

    @property
    def token_url(self) -> None:
        """Return that no token endpoint follows from where the admin API is."""

    @property
    def metadata_url(self) -> None:
        """Return that no signing keys are known."""

    @property
    def tenant(self) -> str:
        """Return that its tokens belong to no tenant."""
        return ""

    @property
    def wanted(self) -> frozenset[str]:
        """Return the places of its operations that a credential must fill."""
        return frozenset().union(*(one.places for _, one in self.operations.every())) - OURS

    @property
    def procedure(self) -> Procedure:
        """Return what the vendor can do, in a word."""
        if self.slots.live > 1:
            return Procedure.OVERLAP
        if self.slots.value is Chooser.CALLER:
            return Procedure.CHOSEN
        return Procedure.BLIND if self.operations.read is None else Procedure.READ_BACK

    @property
    def labelled(self) -> bool:
        """Return whether the vendor keeps our label with each version."""
        return self.operations.list_ is not None and self.operations.list_.tag is not None and self.slots.live > 1

    @property
    def longest_label(self) -> int | None:
        """Return how many characters of our label the vendor keeps; None: enough."""
        return self.operations.list_.tag_length if self.operations.list_ is not None else None

    @property
    def names_client(self) -> bool:
        """Return whether the answer to a new version says the client id."""
        made = self.operations.create or self.operations.set_ or self.operations.regenerate
        return made is not None and made.client_id is not None
