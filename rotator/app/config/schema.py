"""The grammar of `config.yaml`: credentials and the file around them; what this release cannot do is refused by name.

The models check each section by itself; what concerns several is in `checks`. Defaults of the product stand here and
in `systems`, and nowhere else. The texts under the keys become the descriptions of `rotator config schema`.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import Field

from rotator.app.config import values
from rotator.app.config.parts import (
    OR_EMPTY,
    OR_NONE_OF_THEM,
    Copies,
    Count,
    Duration,
    FieldName,
    Guid,
    LabelKey,
    Name,
    Parsed,
    ParsedHere,
    PositiveDuration,
    SecretRef,
    Section,
    SomeText,
    StorePath,
    Text,
    Truth,
    Version,
    word,
)
from rotator.app.config.requests import PlaceName
from rotator.app.config.systems import Provider, State, Store
from rotator.app.config.telling import SomeReceiver
from rotator.app.config.values import Hours
from rotator.app.config.verifying import Verify
from rotator.model import RetireMode, Window

CARRIES = {"secret": ("client_secret",), "certificate": ("certificate", "private_key")}
"""What is rotated -> our fields that hold it, the secret one last."""

_BESIDE = ("token_url", "scope", "key_id", "issued_at", "expires_at", "rotation_id")


def fields_of(credential: str) -> tuple[str, ...]:
    """Return our fields of a consumer document. credential: what is rotated."""
    return ("client_id", *CARRIES[credential], *_BESIDE)


FIELDS = ("client_id", *(name for carried in CARRIES.values() for name in carried), *_BESIDE)
"""Our fields of consumer documents, of all kinds."""

# ------------------------------------------------------------------------------------------------------ credentials


class ProviderPlace(Section):
    """Which application of which provider. Which of the keys have a meaning is decided by the provider's kind."""

    use: Name
    """The name of a provider."""
    app_id: Guid | None = None
    """entra: the application (client) id."""
    object_id: Guid | None = None
    """entra: the object id of the application, not of its service principal; instead of `app_id`."""
    credential: Literal["secret", "certificate"] = "secret"
    """entra: what is rotated."""
    client: SomeText | None = None
    """keycloak: the clientId of the client."""
    metadata: Annotated[Mapping[SomeText, Any], OR_EMPTY] = {}
    """dynamic_registration: the client metadata that are sent (RFC 7591 section 2)."""
    client_id: SomeText | None = None
    """http: the client id, unless the vendor's answer names it."""
    given: Annotated[Mapping[PlaceName, SomeText], OR_EMPTY, Field(alias="with")] = {}
    """http: what fills the places of the operations."""

    @property
    def application(self) -> str:
        """Return the application's name at its issuer.

        For entra its app id, or `object:` and its object id, behind `certificate:` where its certificates are meant;
        else what fills the places, as a query (RFC 3986), or the client id. Empty: the issuer has only one.
        """
        what = "certificate:" if self.credential == "certificate" else ""
        if self.app_id is not None:
            return f"{what}{self.app_id}"
        if self.object_id is not None:
            return f"{what}object:{self.object_id}"
        return urlencode(sorted(self.given.items())) or self.client or self.client_id or ""


class StorePlace(Section):
    """Where consumers read the current version."""

    use: Name
    """The name of a store."""
    path: StorePath
    """The document, below the store's mount."""
    fields: Annotated[Mapping[Literal[FIELDS], FieldName], OR_EMPTY] = {}  # type: ignore[valid-type]
    """Our field to its name in the document; fields that are not named keep their own."""


_HOURS = "^[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}$"


class WindowSection(Section):
    """When rotations may start."""

    days: Annotated[
        frozenset[int], Parsed(values.parse_days, word("daily, a span such as mon-fri, or a list such as mon,wed"))
    ] = frozenset(range(7))
    """The days on which it opens."""
    hours: Annotated[
        Hours, Parsed(values.parse_hours, word("such as 09:00-16:00; may pass midnight", pattern=_HOURS))
    ] = values.WHOLE_DAY
    """From when to when, by the clock on the wall there."""
    timezone: Annotated[str, Parsed(values.time_zone, word("a name such as Europe/Zurich"))] = "UTC"
    """Whose clock."""

    def window(self) -> Window:
        """Return it as the planner knows it."""
        return Window(self.days, self.hours.opens, self.hours.closes, self.timezone)


class PolicySection(Section):
    """How long versions live and how they are replaced."""

    lifetime: PositiveDuration = timedelta(days=90)
    """The validity asked of the issuer."""
    rotate_before: PositiveDuration = timedelta(days=30)
    """Rotate when this little is left."""
    max_age: PositiveDuration | None = None
    """Or when it is this old, whichever comes first."""
    grace: Duration = timedelta(hours=24)
    """How long the old version stays valid after promotion."""
    retire: RetireMode = RetireMode.AFTER_GRACE
    """What ends the life of the old version."""
    window: WindowSection | None = None
    """Rotations start only here, unless a secret would die."""
    accept_gap: Truth = False
    """Accept a moment without a valid secret where the issuer has a single slot; else a person starts each rotation."""
    prepare: PositiveDuration | None = None
    """Make and prove the next version so long before it is promoted."""
    quarantine: Duration = timedelta(seconds=60)
    """How long a request already sent may still take effect."""
    max_creations: Count = 12
    """Versions created in any 24 hours before the credential is parked."""
    alert_before: tuple[Duration, ...] = (timedelta(days=14), timedelta(days=7), timedelta(days=1))
    """How long before its expiry a version is reported, once each."""


class Credential(Section):
    """One client identity of one application, with its policy."""

    name: Name
    """Unique; the name in commands, logs and reports."""
    description: Text = ""
    """For people."""
    owner: Text = ""
    """Whom to ask."""
    labels: Annotated[Mapping[LabelKey, Text], OR_EMPTY] = {}
    """To choose credentials by."""
    provider: ProviderPlace
    """Who issues its versions."""
    store: StorePlace
    """Where consumers read it."""
    verify: Annotated[Verify, OR_EMPTY] = Field(default_factory=Verify)
    """How a version is proved."""
    policy: Annotated[PolicySection, OR_EMPTY] = Field(default_factory=PolicySection)
    """When and how it is rotated."""
    hooks: Annotated[list[SomeReceiver], OR_NONE_OF_THEM] = Field(default=[])
    """Who is told of events of this credential."""


# ---------------------------------------------------------------------------------------------------------- the file


class Service(Section):
    """How the program works through its credentials."""

    listen: Annotated[str, ParsedHere(values.listen_address, word("127.0.0.1:9633 or unix:/path"))] | None = None
    """Where the daemon serves metrics and health; null: no port."""
    tick: PositiveDuration = timedelta(seconds=30)
    """How often the daemon looks for what is due."""
    concurrency: Count = 4
    """Rotations in flight."""
    jitter: Duration = timedelta(minutes=5)
    """The most by which a rotation that comes due by age is delayed."""


class OnBreak(StrEnum):
    """What a broken audit chain means for rotations."""

    ALERT = "alert"
    STOP = "stop"


class Audit(Section):
    """The record of what happened."""

    on_break: OnBreak = OnBreak.ALERT
    """Whether rotations go on when the chain is broken."""
    checkpoint_every: PositiveDuration | None = None
    """How often a checkpoint is written; null: every hour where there is a key, else never."""
    signing_key: SecretRef | None = None
    """The Ed25519 key that signs checkpoints and seals: PKCS#8 PEM or 32 bytes in base64; a file that does not exist is
    made."""
    mirror: Copies = ()
    """Where records are copied to: `syslog`, the one of this machine, or `file:PATH`, a file of JSON lines."""


class Defaults(Section):
    """Keys of `policy`, `verify` and `store` that hold for every credential that does not say otherwise."""

    policy: Annotated[dict[str, Any], OR_EMPTY] = Field(default={})
    """As under a credential."""
    verify: Annotated[dict[str, Any], OR_EMPTY] = Field(default={})
    """As under a credential."""
    store: Annotated[dict[str, Any], OR_EMPTY] = Field(default={})
    """As under a credential."""


class File(Section):
    """A configuration file. Credentials are checked one by one, after the defaults are laid under them."""

    version: Version
    """The version of this grammar."""
    include: Annotated[tuple[SomeText, ...], OR_NONE_OF_THEM] = ()
    """Files with more credentials; `*` stands for any name."""
    state: Annotated[State, OR_EMPTY] = Field(default_factory=State)
    """Where rotator remembers what it did."""
    stores: Annotated[Mapping[Name, Store], OR_EMPTY] = {}
    """Where consumers read, by a name of your choice."""
    providers: Annotated[Mapping[Name, Provider], OR_EMPTY] = {}
    """Who issues versions, by a name of your choice."""
    defaults: Annotated[Defaults, OR_EMPTY] = Field(default_factory=Defaults)
    """What holds for every credential that does not say otherwise."""
    credentials: Annotated[list[Any], OR_NONE_OF_THEM] = Field(default=[])
    """What is tracked."""
    service: Annotated[Service, OR_EMPTY] = Field(default_factory=Service)
    """How the program works."""
    audit: Annotated[Audit, OR_EMPTY] = Field(default_factory=Audit)
    """The record of what happened."""
    notifications: Annotated[list[SomeReceiver], OR_NONE_OF_THEM] = Field(default=[])
    """Who is told of events."""


class IncludedFile(Section):
    """A file that adds credentials."""

    version: Version = 1
    """The version of this grammar."""
    credentials: Annotated[list[Any], OR_NONE_OF_THEM] = Field(default=[])
    """What is tracked."""
