"""The sections of providers and stores that installed packages bring. What their keys mean, the package says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict

from rotator.app.config.parts import Section, Text
from rotator.model import Procedure


class Foreign(Section):
    """A part of a plug-in; all other keys are the plug-in's own."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True, defer_build=True)

    kind: Text
    """The name of its entry point."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Return the plug-in's own keys."""
        return dict(self.__pydantic_extra__ or {})


class ForeignStore(Foreign):
    """A store of a plug-in."""


class ForeignProvider(Foreign):
    """A provider of a plug-in."""

    @property
    def issuer(self) -> str:
        """Return what a binding calls this issuer: where it is, if the settings say that, else its kind."""
        return str(self.settings.get("base_url") or self.kind).lower()

    @property
    def token_url(self) -> None:
        """Return that the token endpoint must be said."""

    @property
    def metadata_url(self) -> None:
        """Return that no signing keys are known."""

    @property
    def ca_file(self) -> None:
        """Return that only `verify.ca_file` has a meaning to rotator."""

    @property
    def proxy(self) -> None:
        """Return that only `verify.proxy` has a meaning to rotator."""

    @property
    def tenant(self) -> str:
        """Return that its tokens belong to no tenant."""
        return ""

    @property
    def procedure(self) -> Procedure:
        """Return what holds unless the provider's list says otherwise."""
        return Procedure.OVERLAP

    @property
    def labelled(self) -> bool:
        """Return that our label is kept with each version."""
        return True
