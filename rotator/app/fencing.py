"""Fences the calls to what a plug-in made, so that a fault of its code stops its credentials and no others.

An error of an unknown kind says nothing about what was done: after a call that changes something it is unknown, after
another one a refusal. Its text may hold anything, so only its type is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final

from rotator.errors import OutcomeUnknown, Refused, RotatorError
from rotator.kit import Interrupted
from rotator.ports import Issued, Listing, Retired

_ANSWERS: Final[Mapping[str, type]] = MappingProxyType(
    {"create": Issued, "set": Issued, "regenerate": Issued, "list": Listing, "retire": Retired, "retire_with": Retired}
)
_CHANGES: Final = frozenset(_ANSWERS) - {"list"}
_OTHERS: Final = ("check", "close", "choose", "read", "last_used")


def fence(made: Any, who: str, hint: str) -> None:
    """Fence the calls to an object in place; it stays what it is. who: which package brought it."""
    for name in (*_ANSWERS, *_OTHERS):
        call = getattr(made, name, None)
        if callable(call):
            with suppress(AttributeError):  # one with __slots__ stays as it is
                object.__setattr__(made, name, _fenced(call, name, who, hint))


def _fenced(call: Callable[..., Any], name: str, who: str, hint: str) -> Callable[..., Any]:
    def fenced(*given: Any, **named: Any) -> Any:
        try:
            answer = call(*given, **named)
            answer = tuple(answer) if name == "check" else answer
        except (RotatorError, Interrupted):
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  the code of somebody else
            if name == "close":
                return None
            raise _failed(f"{who} failed at `{name}` ({type(error).__name__}).") from None
        if not isinstance(answer, _ANSWERS.get(name, object)):
            raise _failed(f"{who} answered `{name}` with {type(answer).__name__}.")
        return answer

    def _failed(message: str) -> RotatorError:
        if name in _CHANGES:
            return OutcomeUnknown(message, hint=hint)
        return Refused(message, hint=hint, code="plugin_failed")

    return fenced
