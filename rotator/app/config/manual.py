"""The section of a vendor whose versions a person makes in a console."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from rotator.app.config.parts import Duration, EndpointUrl, PositiveDuration, Section, Text
from rotator.model import Procedure


class ManualProvider(Section):
    """A person with a console; `rotator intake` takes what he made."""

    kind: Literal["manual"]
    """Who issues the versions."""
    portal: EndpointUrl
    """Where the person goes."""
    instructions: Text = ""
    """What he does there."""
    lifetime: PositiveDuration
    """How long what he makes is valid, when he does not say otherwise."""
    remind_before: tuple[Duration, ...] = (timedelta(hours=24), timedelta(hours=8), timedelta(hours=2))
    """How long before the end he is reminded, beside `alert_before` of the credential."""

    @property
    def issuer(self) -> str:
        """Return what a binding calls this issuer: the same whatever the provider is called here."""
        return self.portal.lower()

    @property
    def token_url(self) -> None:
        """Return that no token endpoint follows from where the console is."""

    @property
    def metadata_url(self) -> None:
        """Return that no signing keys are known."""

    @property
    def ca_file(self) -> None:
        """Return that only `verify.ca_file` has a meaning here."""

    @property
    def proxy(self) -> None:
        """Return that only `verify.proxy` has a meaning here."""

    @property
    def tenant(self) -> str:
        """Return that its tokens belong to no tenant."""
        return ""

    @property
    def procedure(self) -> Procedure:
        """Return that versions live side by side."""
        return Procedure.OVERLAP

    @property
    def labelled(self) -> bool:
        """Return whether our label is kept with each version."""
        return False

    @property
    def first_reminder(self) -> timedelta:
        """Return when the next version is wanted, before the end of the one in use."""
        return max(self.remind_before, default=self.lifetime / 3)

    def asks(self, name: str) -> str:
        """Return what the person is told."""
        said = f" {self.instructions.rstrip('.')}." if self.instructions else ""
        return f"It is made by hand: {self.portal}.{said} Then: rotator intake {name}"
