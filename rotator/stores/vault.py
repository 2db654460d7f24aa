"""Documents in HashiCorp Vault or OpenBao, KV version 2; it never writes unchecked and never repeats a write.

A write whose answer is missing or unclear is read back and settled where that is possible: Vault commits a write and
answers 500 when only the answer cannot be audited, and a broken connection says nothing at all. Version 1 mounts are
refused: there a write of this shape would be stored as it is, unversioned and unchecked, and answered 204.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from rotator.clock import Clock
from rotator.errors import Misconfigured, OutcomeUnknown, Refused, RotatorError, WriteConflict
from rotator.finding import Finding
from rotator.ports import Snapshot
from rotator.secret import Fields
from rotator.stores import vault_check
from rotator.stores.paths import checked
from rotator.stores.vault_errors import failure, mismatched, perhaps_done
from rotator.stores.vault_mounts import require_version_2
from rotator.stores.vault_session import VaultSession
from rotator.stores.vault_settings import VaultSettings
from rotator.stores.vault_wire import NoAnswer, Reply, mapping

_READ_BACK_PAUSES = (timedelta(0), timedelta(milliseconds=250), timedelta(seconds=1))
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z")
_JSON_TYPES: Mapping[type, str] = {bool: "boolean", int: "number", float: "number", list: "array", dict: "object"}


class Keep(Enum):
    """How many versions of a document should stay readable."""

    HISTORY = "history"  # as many as the mount says
    LATEST = "latest"  # one: an older one may hold a value that must be gone


class VaultStore:
    """A consumers' mount and a staging mount on one server, behind one login."""

    consumers: VaultDocuments
    staging: VaultDocuments

    def __init__(self, settings: VaultSettings, clock: Clock) -> None:
        """Prepare, without connecting. Raises Misconfigured for a CA file or mounts that cannot be used."""
        if settings.mount.strip("/") == settings.staging_mount.strip("/"):
            raise Misconfigured(
                f"{settings.name}: mount and staging_mount are both {settings.mount!r}",
                hint="Stage on a mount of its own, so that no consumer can read a value that was not proved.",
            )
        self._settings = settings
        self._clock = clock
        self._session = VaultSession(settings, clock)
        self.consumers = VaultDocuments(self._session, clock, settings.mount, Keep.HISTORY)
        self.staging = VaultDocuments(self._session, clock, settings.staging_mount, Keep.LATEST)

    def check(self, paths: Sequence[str]) -> Sequence[Finding]:
        """Look whether these consumer paths and the staging mount can be used as needed. Changes nothing."""
        return vault_check.examine(self._session, self._clock, [checked(path) for path in paths])

    def close(self) -> None:
        """Revoke the token if it was obtained here, and let go of the connections."""
        self._session.close()


class VaultDocuments:
    """One mount of KV version 2."""

    def __init__(self, session: VaultSession, clock: Clock, mount: str, keep: Keep) -> None:
        """Prepare, without connecting. keep: LATEST makes this the owner of the keys it creates."""
        self._session = session
        self._store = session.settings.name
        self._clock = clock
        self._mount = checked(mount.strip("/"))
        self._keep = keep
        self._proof = threading.Lock()
        self._proved = False

    def read(self, path: str, version: int | None = None) -> Snapshot:
        """Return the latest version, or a given one. Source: developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2."""
        checked(path)
        if version is not None and version < 1:
            return Snapshot(version=0, fields=None)  # `?version=0` would mean the latest
        self._prove_mount()
        act = f"read {self._mount}/data/{path}"
        params = None if version is None else {"version": str(version)}
        reply = self._session.call("get", f"{self._mount}/data/{path}", act=act, needs="read", params=params)
        facts = mapping(reply.data.get("metadata"))
        number, written_at = facts.get("version"), moment(facts.get("created_time"))
        if reply.status == 200 and isinstance(number, int):
            return Snapshot(number, _fields(reply.data.get("data"), act), written_at, reply.at, reply.request_id)
        if reply.status == 404 and isinstance(number, int):  # deleted, destroyed, or past its delete_version_after
            return Snapshot(number, None, written_at, reply.at, reply.request_id)
        if reply.status == 404 and reply.body.get("errors") == []:
            return Snapshot(version or 0, None, None, reply.at, reply.request_id)
        raise failure(reply, self._store, act)

    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        """Write the next version, if the document is at version `expected`; an unclear answer is read back."""
        checked(path)
        self._prove_mount()
        if expected == 0 and self._keep is Keep.LATEST:
            self._keep_latest(path, needs="create")  # before there is anything to keep
        act = f"write {self._mount}/data/{path}"
        body = {"data": fields, "options": {"cas": expected}}
        trouble: RotatorError
        try:
            reply = self._session.call(
                "post", f"{self._mount}/data/{path}", act=act, needs="update" if expected else "create", body=body
            )
        except NoAnswer as lost:
            if not lost.perhaps_done:
                raise
            trouble = lost
        else:
            number = reply.data.get("version")
            if reply.status == 200 and isinstance(number, int):
                written_at = moment(reply.data.get("created_time"))
                return Snapshot(number, fields, written_at, reply.at, reply.request_id)
            trouble = failure(reply, self._store, act)
            if mismatched(reply):
                return self._after_conflict(path, fields, expected)
            if not perhaps_done(reply):
                raise trouble
        return self._after_silence(path, fields, expected, trouble)

    def history(self, path: str) -> tuple[int, ...]:
        """Return the numbers of the versions that can still be read, oldest first."""
        checked(path)
        self._prove_mount()
        reply = self._metadata(path)
        now = reply.at or self._clock.now()
        return tuple(sorted(number for number, facts in _versions(reply) if _readable(facts, now)))

    def erase_before(self, path: str, version: int) -> None:
        """Destroy every version older than `version`, and let the server keep one where that is ours to say.

        The metadata is read each time: a key's own `max_versions: 1` has no effect where the mount says more.
        """
        checked(path)
        self._prove_mount()
        reply = self._metadata(path)
        if reply.status == 404:
            return
        if self._keep is Keep.LATEST and reply.data.get("max_versions") != 1:
            self._keep_latest(path, needs="update")
        old = [number for number, facts in _versions(reply) if number < version and not facts.get("destroyed")]
        if old:
            act = f"destroy {self._mount}/destroy/{path}"
            done = self._session.call(
                "post", f"{self._mount}/destroy/{path}", act=act, needs="update", body={"versions": old}
            )
            if done.status not in (200, 204):
                raise failure(done, self._store, act)

    # --------------------------------------------------------------------------------------------- settling a write

    def _after_conflict(self, path: str, fields: Fields, expected: int) -> Snapshot:
        """Decide what a refused check-and-set means: somebody else's write, or an earlier one of our own."""
        try:
            latest = self._read_back(path, beyond=expected)
            ours = None if latest is None else self._ours(path, fields, expected, latest)
        except RotatorError as lost:
            raise self._unknown(path, f"it is not at version {expected}, and: {lost.message}") from None
        if latest is None:  # refused for being behind, yet nothing newer is to be seen: a node that lags
            raise self._unknown(path, "it refused the write as outdated, but shows no newer version")
        if ours is not None:
            return ours
        raise self._conflict(path, expected, latest.version)

    def _after_silence(self, path: str, fields: Fields, expected: int, trouble: RotatorError) -> Snapshot:
        """Decide what became of a write that was not clearly answered."""
        why, gone = trouble.message, False
        try:
            latest = self._read_back(path, beyond=expected)
            ours = None if latest is None else self._ours(path, fields, expected, latest)
            if latest is not None and latest.version > expected and ours is None:
                gone = self._at(path, expected + 1, latest).fields is None
        except RotatorError as lost:
            raise self._unknown(path, f"{why}; and it cannot be read back: {lost.message}") from None
        if ours is not None:
            return ours
        if latest is None or latest.version <= expected:
            raise self._unknown(path, f"{why}; it is still at version {latest.version if latest else expected}")
        if gone:
            raise self._unknown(path, f"{why}; version {expected + 1} is gone")
        raise self._conflict(path, expected, latest.version)  # another write has the number that ours would have

    def _read_back(self, path: str, beyond: int) -> Snapshot | None:
        """Return the latest version; None while the store shows exactly version `beyond`, after some tries.

        A standby node may lag behind the active one that judged the write (OpenBao reads on standbys since 2.5).
        """
        for pause in _READ_BACK_PAUSES:
            self._clock.wait(pause)
            latest = self.read(path)
            if latest.version != beyond:
                return latest
        return None

    def _at(self, path: str, version: int, latest: Snapshot) -> Snapshot:
        return latest if latest.version == version else self.read(path, version)

    def _ours(self, path: str, fields: Fields, expected: int, latest: Snapshot) -> Snapshot | None:
        """Return the version after `expected` when it holds exactly what we wrote."""
        if latest.version <= expected:
            return None
        written = self._at(path, expected + 1, latest)
        return written if written.fields == fields else None

    def _conflict(self, path: str, expected: int, found: int) -> WriteConflict:
        return WriteConflict(
            f"{self._mount}/{path} is at version {found}, not at {expected}: somebody else has written it",
            hint=f"Compare the two: vault kv get -mount={self._mount} -version={found} {path}",
        )

    def _unknown(self, path: str, why: str) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"Whether {self._mount}/{path} was written is not known: {why}",
            hint="Nothing needs to be done; rotator reads the document again before it goes on.",
        )

    # ------------------------------------------------------------------------------------------------------- metadata

    def _prove_mount(self) -> None:
        """See once that this is KV version 2, before anything is written to it."""
        if self._proved:
            return
        with self._proof:
            if not self._proved:
                require_version_2(self._session, self._mount)
                self._proved = True

    def _metadata(self, path: str) -> Reply:
        act = f"read {self._mount}/metadata/{path}"
        reply = self._session.call("get", f"{self._mount}/metadata/{path}", act=act, needs="read")
        if reply.status == 200 or (reply.status == 404 and reply.body.get("errors") == []):
            return reply
        raise failure(reply, self._store, act)

    def _keep_latest(self, path: str, *, needs: str) -> None:
        """Let a key of our own keep one version. Only this setting is sent: the others stay as they are."""
        act = f"write {self._mount}/metadata/{path}"
        reply = self._session.call(
            "post", f"{self._mount}/metadata/{path}", act=act, needs=needs, body={"max_versions": 1}
        )
        if reply.status not in (200, 204):
            raise failure(reply, self._store, act)


def _fields(data: object, act: str) -> Fields:
    """Return a document, sealed. Raises Refused (`not_text`) naming the key and the type of what is no text.

    An empty document is written as `{}` and comes back as null.
    """
    if data is None:
        return Fields({})
    if not isinstance(data, Mapping):
        raise Refused(f"Cannot {act}: the answer is no document", hint="See that the address is that of the store.")
    for name, value in data.items():
        if not isinstance(value, str):
            kind = "null" if value is None else _JSON_TYPES.get(type(value), "unknown")
            raise Refused(
                f"Cannot {act}: its key {name[:80]!r} holds a JSON {kind}, not a text",
                hint="Store every value as text; rotator copies documents and a store may alter numbers.",
                code="not_text",
            )
    return Fields(data)


def _versions(reply: Reply) -> list[tuple[int, Mapping[str, Any]]]:
    """Return the versions that a metadata answer lists."""
    versions = mapping(reply.data.get("versions"))
    return [(int(number), mapping(facts)) for number, facts in versions.items() if number.isdecimal()]


def _readable(facts: Mapping[str, Any], now: datetime) -> bool:
    """Say whether a version can be read: a deletion time may lie in the future (delete_version_after).

    now: the server's Date, which is cut to whole seconds; what was deleted within that second is gone.
    """
    gone_at = moment(facts.get("deletion_time"))
    return not facts.get("destroyed") and (gone_at is None or gone_at >= now + timedelta(seconds=1))


def moment(text: object) -> datetime | None:
    """Return an RFC 3339 time in UTC with up to nine decimals, cut to microseconds; None when it is none."""
    found = _MOMENT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    whole = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    return whole.replace(microsecond=int((found[2] or "0")[:6].ljust(6, "0")))
