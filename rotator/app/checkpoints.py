"""Signed checkpoints in the audit chain: whoever has the state open and finds one due writes it. Checks nothing.

They are written where the configuration names a key or an interval; without a key they are unsigned, and worth no more
than the head that is kept in the stores. A checkpoint signs what it finds: it does not say that the chain is whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from rotator.app import heads
from rotator.app.config.references import Scheme
from rotator.app.house import House
from rotator.app.state import Writer
from rotator.chain import spell_time
from rotator.errors import RotatorError
from rotator.finding import Finding, Severity
from rotator.kit import Interrupted
from rotator.ports import Head, Store
from rotator.seals import CHECKPOINT, Checkpoint, text_of
from rotator.timing import plus

if TYPE_CHECKING:
    from rotator.exports.signing import Signer

EVERY: Final = timedelta(hours=1)
"""How often, where the configuration names a key and no interval."""


def every(house: House) -> timedelta | None:
    """Return how often a checkpoint is wanted; None: never."""
    asked = house.config.audit
    return asked.checkpoint_every or (EVERY if asked.signing_key is not None else None)


def is_due(house: House, ledger: Writer) -> bool:
    """Say whether a checkpoint is due: the last one is so old, or stands in the future, or has another key."""
    interval = every(house)
    if interval is None or house.observing:
        return False
    last = ledger.last_checkpoint()
    if last is None or not last.at <= house.clock.now() < plus(last.at, interval):
        return True
    signer = signer_of(house)
    return last.key != (signer.public if signer is not None else "")


def keep_up(house: House, ledger: Writer, stores: Mapping[str, Store]) -> bool:
    """Write a checkpoint if one is due and anything was recorded since the last; return whether one was written.

    The head then goes to these stores, as well as that can be done. Raises Misconfigured when the key cannot be had.
    """
    if not is_due(house, ledger):
        return False
    last = ledger.last_checkpoint()
    if ledger.head().seq == (0 if last is None else last.seq):
        return False
    write(house, ledger)
    _publish(house, ledger, stores)
    return True


def on_time(house: House) -> bool:
    """Write a checkpoint if one is due, whether anything was recorded or not: for who runs all the time.

    The head goes to all stores in use. Returns whether one was written. Raises as `keep_up`, and StateUnusable.
    """
    from rotator.app.house import Use

    ledger = house.ledger()
    if not is_due(house, ledger):
        return False
    write(house, ledger)
    stores: dict[str, Store] = {}
    for name in house.stores_in_use:
        with suppress(RotatorError, Interrupted):
            stores[name] = house.store(name, Use.CHANGE)
    _publish(house, ledger, stores)
    return True


def write(house: House, ledger: Writer) -> Head:
    """Write a checkpoint now, signed where there is a key; return the head that it made."""
    signer = signer_of(house)

    def say(before: Head, now: datetime) -> str:
        said = Checkpoint(state=ledger.owner, seq=before.seq, hash=before.hash, time=spell_time(now))
        return text_of(said if signer is None else signer.signed(said))

    return ledger.attest(house.actor, CHECKPOINT, signer.public if signer is not None else "", say)


def _publish(house: House, ledger: Writer, stores: Mapping[str, Store]) -> None:
    for name, store in stores.items():
        with suppress(RotatorError, Interrupted):  # what was kept there before stays evidence
            heads.publish(ledger, {name: store.staging}, house.clock)


def need_key(house: House) -> None:
    """See that the signing key can be had, before anything is begun. A `file:` that does not exist is made."""
    if not house.observing:
        signer_of(house)


def signer_of(house: House) -> Signer | None:
    """Return who signs; None where no key is named. Makes the key of a `file:` that does not exist.

    Raises Misconfigured (78) when it cannot be had or is none.
    """
    reference = house.config.audit.signing_key
    if reference is None:
        return None
    from rotator.exports.signing import Signer, new_key

    return Signer(house.resolver.resolve_or_create(reference, new_key).reveal)


def look_at_key(house: House) -> Iterator[Finding]:
    """Yield what `rotator check` says of the signing key; nothing where none is named. Makes none."""
    reference = house.config.audit.signing_key
    if reference is None:
        return
    if reference.scheme is Scheme.FILE and not reference.path.exists():
        yield Finding("audit", "secret", Severity.OK, f"{reference} will be made by the first checkpoint")
        return
    found = house.resolver.check(reference, "audit")
    yield found
    if found.outcome is Severity.FAIL or reference.scheme is Scheme.VAULT:
        return
    try:
        signer_of(house)
    except RotatorError as error:
        yield Finding("audit", "signing_key", Severity.FAIL, error.message, error.hint, error.exit_status)


def trusted_key(house: House) -> tuple[str | None, str]:
    """Return the public key that checkpoints should be signed with, in base64, and why it is not known, if so.

    Makes no key. Nothing is known where no key is named, or where this run cannot read it.
    """
    reference = house.config.audit.signing_key
    if reference is None:
        return None, ""
    if reference.scheme is Scheme.FILE and not reference.path.exists():
        return None, f"{reference} does not exist"
    try:
        signer = signer_of(house)
    except RotatorError as error:
        return None, error.message
    return (signer.public if signer is not None else None), ""
