"""Ships `migrations/` in the wheel as `rotator/_migrations`; an editable install finds them at the root."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Migrations(BuildHookInterface[Any]):
    """Hatchling's own `force-include` would put a copy that grows stale beside an editable install, too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folder to what is built; `version` is "standard" or "editable"."""
        if version != "editable":
            build_data["force_include"]["migrations"] = "rotator/_migrations"
