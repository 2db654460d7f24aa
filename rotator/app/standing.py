"""How the credentials stand, for `rotator check`: what the state and the staging area say will hinder the next pass.

It asks no issuer and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rotator.app.house import House, Use
from rotator.app.planning import known_to
from rotator.brake import Brake, brake
from rotator.errors import Misconfigured, RotatorError
from rotator.finding import Finding, Severity
from rotator.model import Credential
from rotator.planner import current_version, why_idle
from rotator.ports import Tracked
from rotator.staging import NOBODY, decode, see_binding

STANDING = "standing"

SECRET_IS_GOOD = "The secret is good; put the grant or the expectation right: a rotation would not help."
"""What to do when a secret gets a token that is not what was promised."""


def known(house: House) -> Mapping[str, Tracked]:
    """Return what the state knows; nothing where it cannot be read, which the look at the state itself reports."""
    try:
        return known_to(house)
    except RotatorError:
        return {}


def brakes(house: House) -> Iterator[Brake]:
    """Yield the brakes that are on, one for each provider at which nothing is retired; see `brake`."""
    reader = house.reader()
    if reader is None:
        return
    for provider in dict.fromkeys(one.provider for one in house.config.models):
        on = brake(provider, reader.ailing(provider))
        if on is not None:
            yield on


def braked(house: House) -> Sequence[Finding]:
    """Return a warning for each provider at which nothing is retired."""
    return [Finding(on.provider, "brake", Severity.WARN, on.message, on.hint) for on in brakes(house)]


def standing(credential: Credential, tracked: Tracked | None) -> Iterator[Finding]:
    """Yield what keeps a credential from being rotated, as far as the state knows; nothing when all is well."""
    if tracked is None:
        return
    name, state = credential.name, tracked.state
    idle = why_idle(tracked)
    if state.binding != credential.binding and state.forgotten_at is None:
        yield from _bound_elsewhere(credential, tracked)
    elif state.parked is not None:
        message = f"parked: {state.parked.message}"
        yield Finding(name, STANDING, Severity.FAIL, message, state.parked.hint)
    elif idle is not None:
        yield Finding(name, STANDING, Severity.WARN, idle)
    elif state.error is not None:
        message = f"the last attempt failed: {state.error.message}"
        yield Finding(name, STANDING, Severity.WARN, message, state.error.hint)


def _bound_elsewhere(credential: Credential, tracked: Tracked) -> Iterator[Finding]:
    try:
        see_binding(credential, tracked.state.binding)
    except Misconfigured as error:
        yield Finding(credential.name, STANDING, Severity.FAIL, error.message, error.hint, error.exit_status)


def staged(house: House, credential: Credential) -> Sequence[Finding]:
    """Look whether the staging area knows the name as somebody else's, and raise Misconfigured then."""
    fields = house.store(credential.store, Use.LOOK).staging.read(credential.name).fields
    if fields is not None and (bound := decode(fields, credential.name).binding) != NOBODY:
        see_binding(credential, bound)
    return ()


def vanished(credential: Credential, place: str, tracked: Tracked | None) -> Finding | None:
    """Return the finding for a document that is not there though consumers had one; None when they had none yet."""
    current = current_version(tracked) if tracked is not None else None
    if current is None or current.store_version is None:
        return None
    message = f"{place} is gone; its last version was {current.store_version}"
    hint = f"Restore it in the store; or have a new secret made: rotator resume {credential.name}"
    return Finding(credential.name, "current version", Severity.FAIL, message, hint)
