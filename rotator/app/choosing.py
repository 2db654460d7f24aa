"""Which credentials a command means. A name that does not exist is a fault of the command, never an empty answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rotator.app.config import Config
from rotator.app.config.faults import did_you_mean
from rotator.app.usage import UsageFault
from rotator.model import Credential


def choose(
    config: Config, names: Sequence[str], labels: Mapping[str, str], *, everything: bool
) -> tuple[Credential, ...]:
    """Return the credentials in the order of the configuration; all of them when nothing is said.

    Raises UsageFault (2) for an unknown name, for labels that no credential has, and for two ways at once.
    """
    if sum((bool(names), bool(labels), everything)) > 1:
        raise UsageFault("Names, labels and all exclude each other.", hint="Say which credentials in one way.")
    unknown = [name for name in names if name not in config.named]
    if unknown:
        raise unknown_name(unknown[0], config.named, config.path)
    if labels:
        found = tuple(one for one in config.models if labels.items() <= one.labels.items())
        if not found:
            said = ", ".join(f"{key}={value}" for key, value in labels.items())
            raise UsageFault(f"No credential has {said}.", hint="See the labels with: rotator config show")
        return found
    wanted = set(names) or config.named.keys()
    return tuple(one for one in config.models if one.name in wanted)


def unknown_name(name: str, known: Iterable[str], path: Path) -> UsageFault:
    """Return the fault of a name that no credential has, with the one that was probably meant."""
    return UsageFault(
        f'No credential is called "{name}" in {path}.{did_you_mean(name, known)}',
        hint="See the names with: rotator status",
        code="unknown_name",
    )
