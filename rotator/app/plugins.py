"""Finds the plug-ins that are installed, and makes what they bring. Asked only for kinds that rotator does not have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from rotator.app.fencing import fence
from rotator.errors import Misconfigured, RotatorError
from rotator.plugin import Fault, Making


def kinds(group: str) -> tuple[str, ...]:
    """Return the kinds that installed packages bring, sorted."""
    return tuple(sorted({one.name for one in entry_points(group=group)}))


def faults(group: str, kind: str, settings: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what a plug-in says is wrong with its settings, or why it cannot be asked."""
    try:
        check = getattr(_loaded(_one(group, kind)), "faults", None)
        yield from (Fault(*one) for one in check(dict(settings))) if check is not None else ()
    except RotatorError as error:
        yield Fault((), error.message, error.hint)
    except (Exception, SystemExit) as error:  # noqa: BLE001  the code of somebody else
        yield Fault((), f"its plug-in failed at looking at it ({type(error).__name__})", _REPORT)


def make(group: str, kind: str, making: Making, *, port: type) -> Any:
    """Return what a plug-in makes. port: what that must be able to do. Raises Misconfigured when it cannot be had."""
    entry = _one(group, kind)
    factory = _loaded(entry)
    try:
        made = factory(making)
        lacks = [name for name in _promised(port) if not hasattr(made, name)]
    except RotatorError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001  and its text may hold anything
        raise Misconfigured(
            f"{_of(entry)}, which brings `{kind}`, failed at making {making.name} ({type(error).__name__}).",
            hint=_REPORT,
            code="plugin_failed",
        ) from None
    if lacks:
        raise Misconfigured(
            f"What {_of(entry)} makes for `{kind}` lacks {', '.join(lacks)}.", hint=_REPORT, code="plugin_failed"
        )
    return fence(made, _of(entry), _REPORT)


def origin(group: str, kind: str) -> str:
    """Return which package brings a kind, with its version."""
    return _of(_one(group, kind))


_REPORT = "Have its author run the conformance suite: docs/how-to/plug-ins.md"


def _one(group: str, kind: str) -> EntryPoint:
    found = [one for one in entry_points(group=group) if one.name == kind]
    if len({one.value for one in found}) > 1:
        both = " and ".join(sorted(_of(one) for one in found))
        raise Misconfigured(f"`{kind}` is brought by {both}.", hint="Uninstall one of them.", code="plugin_twice")
    if not found:
        raise Misconfigured(f"No installed package brings `{kind}`.", hint="Install it.", code="plugin_missing")
    return found[0]


def _loaded(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001  importing runs the code of somebody else
        raise Misconfigured(
            f"{_of(entry)}, which brings `{entry.name}`, cannot be imported ({type(error).__name__}).",
            hint=f'Try: python -c "import {entry.module}"',
            code="plugin_failed",
        ) from None


def _of(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value


def _promised(port: type) -> list[str]:
    said = [name for name in vars(port) if not name.startswith("_")]
    return [*said, *(name for name in vars(port).get("__annotations__", {}) if name not in said)]
