"""What would be accepted and then do nothing, or harm: keys without a use at an issuer, hooks that never hear anything.

Pure, as `checks` is: it opens, resolves and contacts nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from rotator.app.config.described import HttpProvider
from rotator.app.config.faults import did_you_mean, one_of
from rotator.app.config.known import Known
from rotator.app.config.manual import ManualProvider
from rotator.app.config.references import Reference, Scheme
from rotator.app.config.schema import File
from rotator.app.config.source import Entry, Pending
from rotator.app.config.telling import Receiver, WebhookReceiver
from rotator.app.config.values import format_duration
from rotator.app.config.yaml import KeyPath
from rotator.event import EventName
from rotator.model import RetireMode

_OF_NOBODY: Final = frozenset(
    {
        EventName.DAEMON_STARTED,
        EventName.DAEMON_STOPPED,
        EventName.CONFIG_LOADED,
        EventName.CONFIG_REFUSED,
        EventName.AUDIT_ACCEPTED,
        EventName.AUDIT_CHECKPOINT,
    }
)
"""Events that belong to no credential, so that no hook of one hears of them."""


def unheeded(known: Known, file: File | None, entries: Iterable[Entry]) -> Iterator[Pending]:
    """Yield every setting that nobody would heed. file: None when the main file has faults of its own."""
    entries = list(entries)
    for name, provider in known.providers.items():
        if isinstance(provider, ManualProvider):
            yield from _reminders(known, name, provider)
    for entry in entries:
        yield from _policy(known, entry)
        for number, hook in enumerate(entry.model.hooks if entry.model is not None else ()):
            yield from _hook(known, entry, number, hook)
    if file is not None:
        for number, receiver in enumerate(file.notifications):
            for path, lacking in _asked_of(receiver, known):
                yield Pending(known.main, ("notifications", number, *path), *_no_such_store(known, lacking))
        if (store := _lacking(known, file.audit.signing_key)) is not None:
            yield Pending(known.main, ("audit", "signing_key"), *_no_such_store(known, store))
        yield from _mirrors(known, file)


def _reminders(known: Known, name: str, provider: ManualProvider) -> Iterator[Pending]:
    for number, before in enumerate(provider.remind_before):
        if before >= provider.lifetime:
            lives = format_duration(provider.lifetime)
            message = f"{format_duration(before)} is not less than the {lives} that such a version lives."
            path: KeyPath = ("providers", name, "remind_before", number)
            yield Pending(known.main, path, message, "A fresh one would be due at once. Use less.")


def _policy(known: Known, entry: Entry) -> Iterator[Pending]:
    """Yield the keys of a credential's policy that its issuer leaves no room for. What defaults say is for others."""
    at, policy = entry.sound.provider, entry.sound.policy
    provider = known.providers.get(at.use) if at is not None else None
    by_hand = isinstance(provider, ManualProvider)
    one_slot = isinstance(provider, HttpProvider) and provider.procedure.single_slot
    if policy is None or not (by_hand or one_slot):
        return
    why = "a person makes each version, whenever he does" if by_hand else "a new version ends the one before at once"
    vain = {
        "prepare": policy.prepare is not None,
        "window": by_hand and policy.window is not None,
        "retire": one_slot and policy.retire in (RetireMode.MANUAL, RetireMode.LET_EXPIRE),
    }
    for key, said in vain.items():
        if said and entry.says(("policy", key)):
            yield entry.fault(("policy", key), f"has no effect here: {why}", "Leave it out.")


def _hook(known: Known, entry: Entry, number: int, hook: Receiver) -> Iterator[Pending]:
    path: KeyPath = ("hooks", number)
    never = [one for one in hook.events if one in _OF_NOBODY]
    if never:
        hint = "Have them told under `notifications`."
        yield entry.fault((*path, "events"), f"of no credential: {one_of(never)}; a hook never hears of it", hint)
    for below, store in _asked_of(hook, known):
        yield entry.fault((*path, *below), *_no_such_store(known, store))


def _asked_of(receiver: Receiver, known: Known) -> Iterator[tuple[KeyPath, str]]:
    """Yield where a receiver's secret is said to be, when there is no such store."""
    if isinstance(receiver, WebhookReceiver) and (store := _lacking(known, receiver.secret)) is not None:
        yield ("secret",), store


def _lacking(known: Known, reference: Reference | None) -> str | None:
    if reference is None or reference.scheme is not Scheme.VAULT or reference.store in known.store_names:
        return None
    return reference.store


def _no_such_store(known: Known, name: str) -> tuple[str, str]:
    message = f'no store is called "{name}".{did_you_mean(name, known.store_names)}'
    return message, "Name one that stands under `stores`, or use env:, file: or cred:."


def _mirrors(known: Known, file: File) -> Iterator[Pending]:
    """Yield a copy of the record that would be written into the state itself."""
    database = _plain(file.state.database)
    for number, copy in enumerate(file.audit.mirror):
        if copy.file is not None and _plain(copy.file).startswith(database):
            message = "is the state itself, or lies beside it under its name"
            yield Pending(
                known.main, ("audit", "mirror", number), message, "Name a file of its own, such as audit.jsonl."
            )


def _plain(path: Path) -> str:
    return os.path.normpath(path)
