"""The `http` provider with the sandbox's console as its vendor, described as a user would describe it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from rotator.clock import SystemClock
from rotator.model import Act
from rotator.providers.described import DescribedProvider
from rotator.providers.described_settings import Bearer, Call, Create, Description, ErrorRule, List
from rotator.sandbox.server import Sandbox
from rotator.sandbox.vendor import Vendor, VendorSecret
from rotator.sandbox.weather import Fault, Route, Weather
from rotator.secret import Secret
from rotator.wire.filling import pointer
from rotator.wire.vocabulary import ErrorClass

ROUTES = {Act.CREATE: Route.CONSOLE_CREATE, Act.RETIRE: Route.CONSOLE_REMOVE}


def described(sandbox: Sandbox, **changes: Any) -> Description:
    """Return the description of the console."""
    base = "/clients/{client}/credentials"
    token = sandbox.files.console_token
    said = Description(
        name="screening-eagle",
        base_url=sandbox.console_url,
        auth=Bearer(lambda: Secret(token)),
        create=Create(
            call=Call(
                method="POST",
                path=base,
                json={"label": "{tag}", "ttlSeconds": "{lifetime_seconds}"},
                expect=frozenset({201}),
            ),
            secret=pointer("/clientSecret"),
            key_id=pointer("/id"),
            created_at=pointer("/createdAt"),
            expires_at=pointer("/expiresAt"),
        ),
        list=List(
            call=Call(method="GET", path=base, expect=frozenset({200})),
            items=pointer("/credentials"),
            key_id=pointer("/id"),
            tag=pointer("/label"),
            created_at=pointer("/createdAt"),
            expires_at=pointer("/expiresAt"),
            next=pointer("/nextPage"),
        ),
        retire=(Call(method="DELETE", path=f"{base}/{{key_id}}", expect=frozenset({204})),),
        errors=(
            ErrorRule(status=422, pointer=pointer("/code"), equals="limit_reached", means=ErrorClass.NO_FREE_SLOT),
        ),
        live=100,
        ca_file=sandbox.ca_file,
    )
    return replace(said, **changes)


@dataclass
class DescribedBench:
    """One client of the vendor, with a secret that a person made."""

    sandbox: Sandbox
    client: str
    live: int = 100
    application: str = field(init=False)
    nobody: str = "client=nobody"

    def __post_init__(self) -> None:
        self.application = f"client={self.client}"

    @property
    def provider(self) -> DescribedProvider:
        """Return the provider under test."""
        return self.another()

    def another(self, **changes: Any) -> DescribedProvider:
        """Return one with another description."""
        return DescribedProvider(described(self.sandbox, **{"live": self.live, **changes}), SystemClock())

    @property
    def held(self) -> tuple[VendorSecret, ...]:
        """Return what the vendor holds."""
        return self.sandbox.vendors.held(Vendor.SCREENING_EAGLE, self.client) or ()

    def truth(self) -> dict[str, str | None]:
        """Key id and label of every version that exists."""
        with self.sandbox.directory.settled():
            return {one.key_id: one.label for one in self.held}

    def accepts(self, client_id: str, value: Secret) -> bool:
        """Whether that is a live value."""
        return client_id in ("", self.client) and any(one.text == value.reveal() for one in self.held)

    def remove(self, key_id: str) -> None:
        """Let somebody else remove a version."""
        found = next(one for one in self.held if one.key_id == key_id)
        self.sandbox.vendors.withdraw(Vendor.SCREENING_EAGLE, self.client, found.text)

    def two_slots(self) -> None:
        """Let the client hold two versions from now on."""
        self.live = self.sandbox.console.live = 2

    def fail(self, act: Act, fault: Fault) -> None:
        """Give the next call of `act` this fault."""
        self.sandbox.fail_next(ROUTES[act], fault)


@contextmanager
def described_bench(folder: Path, weather: Weather) -> Iterator[Sandbox]:
    """Run the issuers."""
    with Sandbox.start(folder, weather=weather) as sandbox:
        yield sandbox


def new_client(sandbox: Sandbox) -> DescribedBench:
    """Return a client of its own."""
    client = str(uuid.uuid4())
    sandbox.console.live = 100
    sandbox.vendors.issue(Vendor.SCREENING_EAGLE, client, timedelta(days=60))
    return DescribedBench(sandbox, client)
