"""Fences the calls to what a plug-in made, so that a fault of its code stops its credentials and no others.

An error of an unknown kind says nothing about what was done: after a call that changes something it is unknown, after
another one a refusal. Its text may hold anything, so only its type is told. What a plug-in calls of its own stays
unfenced: it may count on its own errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from rotator.errors import OutcomeUnknown, Refused, RotatorError
from rotator.kit import Interrupted
from rotator.ports import Issued, Listing, Retired, Snapshot

_CALLS: Final[Mapping[str, type]] = MappingProxyType(
    {
        "create": Issued,
        "set": Issued,
        "regenerate": Issued,
        "retire": Retired,
        "retire_with": Retired,
        "list": Listing,
        "check": tuple,
        "read": Issued,
        "last_used": Mapping,
        "choose": object,
        "prove_with": object,
        "recall": object,
        "close": object,
    }
)
"""What may be asked of a provider or a store, and what it answers."""

_OF_AN_AREA: Final[Mapping[str, type]] = MappingProxyType(
    {"read": Snapshot, "write": Snapshot, "history": tuple, "erase_before": object}
)
_AREAS: Final = ("consumers", "staging")
_CHANGES: Final = ("create", "set", "regenerate", "retire", "retire_with", "write")
_SEVERAL: Final = ("check", "history")


class _Fenced:
    """Stands before something that a plug-in made, and can do what that can; it may have `__slots__`, or be frozen."""

    def __init__(self, made: Any, who: str, hint: str, calls: Mapping[str, type]) -> None:
        self._made, self._who, self._hint = made, who, hint
        for name, answers in calls.items():  # as attributes: what it can do is asked for by their names
            if callable(call := getattr(made, name, None)):
                setattr(self, name, _fenced(call, name, answers, who, hint))

    def __getattr__(self, name: str) -> Any:
        if name not in _AREAS:
            return getattr(self._made, name)
        area = _fenced(lambda: getattr(self._made, name), name, object, self._who, self._hint)()
        return _Fenced(area, self._who, self._hint, _OF_AN_AREA)


def fence(made: Any, who: str, hint: str) -> Any:
    """Return what stands before an object and fences the calls to it. who: which package brought it."""
    return _Fenced(made, who, hint, _CALLS)


def _fenced(call: Callable[..., Any], name: str, answers: type, who: str, hint: str) -> Callable[..., Any]:
    def fenced(*given: Any, **named: Any) -> Any:
        try:
            answer = call(*given, **named)
            answer = tuple(answer) if name in _SEVERAL else answer
        except (RotatorError, Interrupted):
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  the code of somebody else
            if name == "close":
                return None
            raise _failed(f"{who} failed at `{name}` ({type(error).__name__}).") from None
        if not isinstance(answer, answers):
            raise _failed(f"{who} answered `{name}` with {type(answer).__name__}.")
        return answer

    def _failed(message: str) -> RotatorError:
        if name in _CHANGES:
            return OutcomeUnknown(message, hint=hint)
        return Refused(message, hint=hint, code="plugin_failed")

    return fenced
