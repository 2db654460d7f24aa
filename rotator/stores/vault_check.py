"""Answers "would it work tonight?" for one Vault server; it reads settings, asks for capabilities, and writes nothing.

What goes well is told in one line; everything else gets a line of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from rotator.clock import Clock
from rotator.errors import RotatorError
from rotator.finding import Finding, Severity
from rotator.stores.vault_errors import failure
from rotator.stores.vault_mounts import require_version_2
from rotator.stores.vault_session import VaultSession
from rotator.stores.vault_settings import TokenAuth
from rotator.stores.vault_wire import Reply, cleaned

_FEWEST_KEPT, _FEW_KEPT = 2, 5
_WORST_SKEW, _BAD_SKEW = timedelta(minutes=5), timedelta(minutes=1)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PROBE = "rotator-check"  # stands for every document of the staging mount; it is never written


def examine(session: VaultSession, clock: Clock, paths: Sequence[str]) -> list[Finding]:
    """Return the findings on server, login, mounts, rights, retention and clock."""
    return _Examination(session, clock, paths).run()


class _Examination:
    """One run of the check; `told` gathers what goes well, `findings` the rest."""

    def __init__(self, session: VaultSession, clock: Clock, paths: Sequence[str]) -> None:
        self._session = session
        self._settings = session.settings
        self._clock = clock
        self._paths = list(dict.fromkeys(paths))
        self._findings: list[Finding] = []
        self._told: list[str] = []

    def run(self) -> list[Finding]:
        check = "health"
        try:
            health = self._health()
            if health is None:
                return self._findings
            check = "login"
            self._session.token()
            check = "token"
            self._token()
            check = "mount"
            for mount in (self._settings.mount, self._settings.staging_mount):
                require_version_2(self._session, mount.strip("/"))
            check = "capabilities"
            if self._capabilities():
                check = "retention"
                self._retention()
        except RotatorError as error:
            self._fail(check, error.message, error.hint, error.exit_status)
            return self._findings
        if not any(finding.outcome is Severity.FAIL for finding in self._findings):
            told = Finding(self._settings.name, "store", Severity.OK, "; ".join(self._told))
            self._findings.insert(0, told)
        self._skew(health)
        return self._findings

    # ----------------------------------------------------------------------------------------------- what is looked at

    def _health(self) -> Reply | None:
        """Look whether the server is initialised, unsealed and active, or a standby that forwards."""
        reply = self._session.health()
        version = cleaned(str(reply.body.get("version", "of unknown version")))[:40]
        if reply.body.get("initialized") is False:
            self._fail("health", "the server is not initialised", "Initialise and unseal it.", 69)
        elif reply.body.get("sealed") is True:
            self._fail("health", f"{version}, sealed", "An operator of the store must unseal it.", 69)
        elif reply.status != 200:
            error = failure(reply, self._settings.name, "ask for its health")
            self._fail("health", error.message, error.hint, error.exit_status)
        else:
            self._told.append(f"{version}, unsealed" + (", standby" if reply.body.get("standby") is True else ""))
            return reply
        return None

    def _token(self) -> None:
        """Look at the token: its life, whether it can be renewed, and whether it can do too much."""
        reply = self._session.lookup()
        if reply.status != 200:
            error = failure(reply, self._settings.name, "read auth/token/lookup-self")
            hint = 'Add to its policy: path "auth/token/lookup-self" { capabilities = ["read"] }'
            self._fail("token", error.message, hint if reply.status == 403 else error.hint, error.exit_status)
            return
        facts = reply.data
        ttl = facts.get("ttl")
        if "root" in (facts.get("policies") or []):
            self._warn(
                "token",
                "the token has the root policy",
                "Give rotator a policy of its own; the documentation has one that grants what it needs and no more.",
            )
        if facts.get("renewable") is not True and isinstance(ttl, int) and ttl > 0:
            if isinstance(self._settings.auth, TokenAuth):
                self._warn(
                    "token",
                    f"the token ends in {_short(timedelta(seconds=ttl))} and cannot be renewed",
                    "Use a periodic token, or a method that can log in again.",
                )
            else:
                self._told.append(f"a new login every {_short(timedelta(seconds=ttl))}")

    def _capabilities(self) -> bool:
        """Compare what the token may do with what is needed."""
        needs = self._needs()
        granted = self._session.capabilities(list(needs))
        if granted is None:
            self._fail(
                "capabilities",
                "the token may not ask what it may do",
                'Add to its policy: path "sys/capabilities-self" { capabilities = ["update"] }',
                77,
            )
            return False
        complete = True
        for path, wanted in needs.items():
            lacking = [capability for capability in wanted if capability not in granted[path]]
            if lacking and path.startswith("auth/"):
                self._warn(
                    "capabilities",
                    f"the token lacks {_quoted(lacking)} on {path}",
                    f'Add to its policy: path "{path}" {{ capabilities = [{_quoted(lacking)}] }}',
                )
            elif lacking:
                complete = False
                self._fail(
                    "capabilities",
                    f"the token lacks {_quoted(lacking)} on {path}",
                    f'Add to its policy: path "{path}" {{ capabilities = [{_quoted(wanted)}] }}',
                    77,
                )
        count = len(self._paths)
        mount = self._settings.mount
        where = f"{mount}/data/{self._paths[0]}" if count == 1 else f"{count} paths of {mount}"
        self._told.append(f"token may read and write {where}, and stage in {self._settings.staging_mount}")
        return complete

    def _needs(self) -> dict[str, tuple[str, ...]]:
        """Return what each API path needs: all that rotator asks for, and no more."""
        mount, staging = self._settings.mount.strip("/"), self._settings.staging_mount.strip("/")
        needs: dict[str, tuple[str, ...]] = {}
        for path in self._paths:
            needs[f"{mount}/data/{path}"] = ("create", "read", "update")
            needs[f"{mount}/metadata/{path}"] = ("read", "list")
        needs[f"{mount}/config"] = ("read",)
        needs[f"{staging}/data/{_PROBE}"] = ("create", "read", "update")
        needs[f"{staging}/metadata/{_PROBE}"] = ("create", "read", "update", "list", "delete")
        needs[f"{staging}/destroy/{_PROBE}"] = ("update",)
        needs[f"{staging}/config"] = ("read",)
        needs["auth/token/renew-self"] = ("update",)
        return needs

    def _retention(self) -> None:
        """Look at how many versions are kept, and that none of them is deleted by the clock."""
        mount, staging = self._settings.mount.strip("/"), self._settings.staging_mount.strip("/")
        consumers, staged = self._config(mount), self._config(staging)
        if go_duration(staged.get("delete_version_after")):
            self._fail(
                "retention",
                f"{staging} deletes versions after {staged['delete_version_after']}: claims and values would vanish",
                f"Set it to nothing: vault write {staging}/config delete_version_after=0s",
            )
        kept = []
        for path in self._paths:
            facts = self._metadata(mount, path)
            kept.append(max(_count(consumers, "max_versions"), _count(facts, "max_versions")) or 10)
            self._one_path(mount, path, kept[-1], consumers, facts)
        if kept:
            self._told.append(f"{min(kept)} versions kept")
        if consumers.get("cas_required") is not True:
            self._told.append("check-and-set is not required of other writers")

    def _one_path(self, mount: str, path: str, kept: int, config: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Judge the retention of one consumer path."""
        for level, settings, fix in (
            (mount, config, f"vault write {mount}/config delete_version_after=0s"),
            (f"{mount}/{path}", facts, f"vault kv metadata put -mount={mount} -delete-version-after=0s {path}"),
        ):
            if go_duration(settings.get("delete_version_after")):
                self._fail(
                    "retention",
                    f"{level} deletes versions after {settings['delete_version_after']}: a live secret would be 404",
                    f"Set it to nothing: {fix}",
                )
        fix = f"vault kv metadata put -mount={mount} -max-versions=10 {path}"
        if kept < _FEWEST_KEPT:
            self._fail(
                "retention",
                f"{mount}/{path} keeps {kept} version: the predecessor could not be read back",
                f"Keep more: {fix}",
            )
        elif kept < _FEW_KEPT:
            self._warn("retention", f"{mount}/{path} keeps {kept} versions only", f"Keep more: {fix}")

    def _config(self, mount: str) -> Mapping[str, Any]:
        act = f"read {mount}/config"
        reply = self._session.call("get", f"{mount}/config", act=act, needs="read")
        if reply.status != 200:
            raise failure(reply, self._settings.name, act)
        return reply.data

    def _metadata(self, mount: str, path: str) -> Mapping[str, Any]:
        act = f"read {mount}/metadata/{path}"
        reply = self._session.call("get", f"{mount}/metadata/{path}", act=act, needs="read")
        if reply.status not in (200, 404):
            raise failure(reply, self._settings.name, act)
        return reply.data

    def _skew(self, health: Reply) -> None:
        """Compare our clock with the server's Date, which is cut to whole seconds: half of one is added to it."""
        host = urlsplit(self._settings.address).hostname or self._settings.address
        if health.at is None:
            message = f"{host} sends no Date, so its clock is not known"
            self._findings.append(Finding(self._settings.name, "clock", Severity.SKIP, message))
            return
        apart = abs(self._clock.now() - health.at - timedelta(milliseconds=500))
        outcome = Severity.FAIL if apart > _WORST_SKEW else Severity.WARN if apart > _BAD_SKEW else Severity.OK
        hint = "" if outcome is Severity.OK else "Correct the clock that is wrong; nothing starts while they disagree."
        message = f"the clock of {host} is {apart.total_seconds():.1f} s from ours"
        self._findings.append(Finding(self._settings.name, "clock", outcome, message, hint, 75))

    # --------------------------------------------------------------------------------------------------------- telling

    def _fail(self, check: str, message: str, hint: str, exit_status: int = 78) -> None:
        self._findings.append(Finding(self._settings.name, check, Severity.FAIL, message, hint, exit_status))

    def _warn(self, check: str, message: str, hint: str) -> None:
        self._findings.append(Finding(self._settings.name, check, Severity.WARN, message, hint))


def go_duration(value: object) -> timedelta:
    """Return a Go duration, as Vault writes it; zero for `0s`, for none, and for a negative one, which means off."""
    if not isinstance(value, str) or value.startswith("-"):
        return timedelta(0)
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(value)))


def _count(facts: Mapping[str, Any], name: str) -> int:
    value = facts.get(name)
    return value if isinstance(value, int) else 0


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def _short(duration: timedelta) -> str:
    """Return a duration as a person says it."""
    seconds = int(duration.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
