"""Looks whether a rotation of one Entra application would be permitted tonight; changes nothing and asks little."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rotator.clock import Clock
from rotator.errors import Denied, Misconfigured, Refused, RotatorError
from rotator.finding import Finding, Severity
from rotator.ports import Listed
from rotator.providers.entra_answers import Reply, listed, moment, texts
from rotator.providers.entra_errors import WORST_SKEW, Doing, refused
from rotator.providers.entra_keys import listed_key
from rotator.providers.entra_settings import CERTIFICATE, EntraSettings
from rotator.wire.cleaning import Cleaner

if TYPE_CHECKING:
    from rotator.providers.entra_graph import Graph

_WRITES_ALL = ("Application.ReadWrite.All", "Directory.ReadWrite.All")
_WRITES_OWNED = "Application.ReadWrite.OwnedBy"
_SELECT = ("id", "appId", "signInAudience", "isDisabled", "disabledByMicrosoftStatus", "createdDateTime")
_DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)(?:\.\d+)?S)?)?\Z",
    re.ASCII,
)


class Examination:
    """One run of the check. subject: whom the findings on the application concern. ours: how our tags begin."""

    def __init__(
        self, settings: EntraSettings, clock: Clock, application: str, lifetime: timedelta, subject: str, ours: str
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._application = application.removeprefix(CERTIFICATE)
        self._noun = "secret" if self._application == application else "certificate"
        self._field = "passwordCredentials" if self._noun == "secret" else "keyCredentials"
        self._lifetime = lifetime
        self._subject = subject
        self._ours = ours
        self._at = "login"
        self._findings: list[Finding] = []
        self._told: list[str] = []

    async def run(self, graph: Graph) -> list[Finding]:
        """Return the findings: on the login and the clock for the provider, on the rest for the subject."""
        try:
            claims = await graph.login.claims()
            roles = self._login(claims)
            self._at = "application"
            reply = await graph.application(self._application, *_SELECT, self._field)
            self._clocks(reply)
            app = reply.json
            if reply.status != 200 or app is None:
                raise refused(self._settings, Doing("read the application"), reply, self._clock.now())
            self._state(app)
            await self._ownership(graph, str(app.get("id")), roles, claims.get("oid"))
            self._versions(app)
            self._signing()
            self._at = "federated"
            await self._federated(graph, str(app.get("id")))
            self._at = "policy"
            await self._policy(graph, app)
        except RotatorError as error:
            return [*self._findings, self.stopped(error)]
        if not any(one.subject == self._subject and one.outcome is Severity.FAIL for one in self._findings):
            self._tell("application", Severity.OK, "; ".join(self._told))
        return self._findings

    def stopped(self, error: RotatorError) -> Finding:
        """Return the finding for an error that ended the check."""
        subject = self._settings.name if self._at == "login" else self._subject
        return Finding(subject, self._at, Severity.FAIL, error.message, error.hint, error.exit_status)

    # ------------------------------------------------------------------------------------------------ what is looked at

    def _login(self, claims: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Look at the roles in our token. None: it cannot be read."""
        if not claims:
            self._provider(Severity.OK, "token for Graph; what it permits cannot be read from it")
            return None
        roles = texts(claims.get("roles"))
        enough = [role for role in (*_WRITES_ALL, _WRITES_OWNED) if role in roles]
        if enough:
            self._provider(Severity.OK, f"token for Graph; {', '.join(enough)}")
            return roles
        has = f"only {', '.join(roles[:5])}" if roles else "no app role at all"
        self._provider(
            Severity.FAIL,
            f"the token for Graph has {has}, which permits no rotation",
            f"Grant rotator's application the app role {_WRITES_OWNED} on Microsoft Graph, with admin consent.",
            Denied.exit_status,
        )
        return roles

    def _state(self, app: Mapping[str, Any]) -> None:
        """Look whether the application may log in at all."""
        if app.get("isDisabled") is True or app.get("disabledByMicrosoftStatus") not in (None, "NotDisabled"):
            hint = f"Have it enabled again, or remove it from the configuration; no {self._noun} of it gets a token."
            self._tell("application", Severity.FAIL, "the application is disabled", hint)

    async def _ownership(self, graph: Graph, object_id: str, roles: tuple[str, ...] | None, principal: object) -> None:
        """Look whether we own the application, where our right depends on it."""
        if roles is not None and any(role in roles for role in _WRITES_ALL):
            self._told.append("application found")
            return
        if not isinstance(principal, str):
            self._told.append("application found, who owns it was not looked at")
            return
        owners = await graph.owners(object_id)
        if any(isinstance(owner, dict) and owner.get("id") == principal for owner in owners):
            self._told.append("application found, owned")
            return
        self._tell(
            "application",
            Severity.FAIL,
            "application found, but rotator does not own it",
            f"Add the service principal {principal} to the owners of the application registration.",
            Denied.exit_status,
        )

    def _signing(self) -> None:
        """Look whether what has certificates signed could be run by this user."""
        signing = self._settings.signing
        if signing is None or self._noun == "secret":
            return
        program = signing.command[0]
        if os.path.isfile(program) and os.access(program, os.X_OK):
            self._told.append(f"signed by {program}")
            return
        hint = "Correct `sign_with` of the provider, or make it executable for this user."
        self._tell("signing", Severity.FAIL, f"{program} cannot be run", hint, Misconfigured.exit_status)

    def _versions(self, app: Mapping[str, Any]) -> None:
        """Count the live secrets, or certificates, and ours among them."""
        items = app.get(self._field)
        read = listed if self._noun == "secret" else listed_key
        found = [one for one in map(read, items if isinstance(items, list) else []) if one is not None]
        now = self._clock.now()
        live = [one for one in found if one.expires_at is None or one.expires_at > now]
        ours = [one for one in live if self._ours and (one.tag or "").startswith(self._ours)]
        ends = [one.expires_at - now for one in live if one.expires_at is not None]
        nearest = f", the first ends in {short(min(ends))}" if ends else ""
        self._told.append(
            f"{len(ours)} of {len(live)} {self._noun}s ours{nearest}" if live else f"no live {self._noun}"
        )
        if self._noun == "secret" and "PersonalMicrosoftAccount" in str(app.get("signInAudience")):
            self._slots(found, ours)

    async def _federated(self, graph: Graph, object_id: str) -> None:
        """Name the federated credentials: who else may be this application. They are nobody's to rotate.

        Not every cloud has them, and no rotation needs them: that they cannot be read fails nothing.
        """
        clean = Cleaner(())
        try:
            found = await graph.federated(object_id)
        except Refused as error:
            self._tell("federated", Severity.SKIP, error.message)
            return
        for one in found:
            said = one if isinstance(one, dict) else {}
            name, issuer, subject = (
                clean.words(str(said.get(key) or "?"), 120) for key in ("name", "issuer", "subject")
            )
            message = f"federated credential {name}, for {subject} of {issuer}; it has no value, and is never touched"
            self._tell("federated", Severity.OK, message)

    def _slots(self, found: list[Listed], ours: list[Listed]) -> None:
        """Look for a free place, where there are two only."""
        if len(found) < 2:
            self._told.append("one of two places is free")
        elif len(ours) == 2:
            hint = "It gets free when the older one is retired."
            self._tell("slots", Severity.WARN, "both places for secrets are taken by ours", hint)
        else:
            self._tell(
                "slots",
                Severity.FAIL,
                "both places for secrets are taken: an application for personal accounts holds two",
                "Remove the secret that nobody uses, in the portal under Certificates & secrets.",
            )

    async def _policy(self, graph: Graph, app: Mapping[str, Any]) -> None:
        """Look at what app management policies forbid. The application's own goes before the tenant's.

        Source: learn.microsoft.com/graph/api/resources/applicationauthenticationmethodpolicy.
        """
        asked = f"you ask for {short(self._lifetime)}"
        try:
            own = [one for one in await graph.policies(str(app.get("id"))) if _enabled(one)]
            if own:
                rules = [rule for one in own for rule in _rules(one.get("restrictions"), self._field)]
            else:
                reply = await graph.tenant_policy()
                policy = reply.json
                if reply.status != 200 or policy is None:
                    raise refused(self._settings, Doing("read the policy"), reply, self._clock.now())
                rules = _rules(policy.get("applicationRestrictions"), self._field) if _enabled(policy) else []
        except Denied:
            self._told.append(f"policies cannot be read without Policy.Read.All; {asked}")
            return
        created = moment(app.get("createdDateTime"))
        rules = [rule for rule in rules if _applies(rule, created)]
        if any(rule.get("restrictionType") == "passwordAddition" for rule in rules):
            hint = "Have the application exempted, or use a certificate or a federated credential for it."
            self._tell("policy", Severity.FAIL, "an app management policy forbids new client secrets", hint)
            return
        trusted = any(rule.get("restrictionType") == "trustedCertificateAuthority" for rule in rules)
        if trusted and self._settings.signing is None:
            hint = "Name a program that has certificates signed by such a CA, as `sign_with` of the provider."
            self._tell("policy", Severity.FAIL, "an app management policy takes certificates of its own CAs only", hint)
            return
        capped = ("passwordLifetime", "asymmetricKeyLifetime")
        caps = [_duration(rule.get("maxLifetime")) for rule in rules if rule.get("restrictionType") in capped]
        cap = min((one for one in caps if one is not None), default=None)
        if cap is None:
            self._told.append(f"no policy caps the lifetime, {asked}")
        elif cap < self._lifetime:
            message = f"an app management policy allows {short(cap)}, {asked}"
            self._tell("policy", Severity.FAIL, message, f"Set policy.lifetime to {short(cap)} or less.", 78)
        else:
            self._told.append(f"policy allows {short(cap)}, {asked}")

    def _clocks(self, reply: Reply) -> None:
        """Compare our clock with Graph's Date, which is cut to whole seconds: half of one is added to it."""
        host = self._settings.graph_host
        if reply.date is None:
            message = f"{host} sends no Date, so its clock is not known"
            self._findings.append(Finding(self._settings.name, "clock", Severity.SKIP, message))
            return
        apart = abs(self._clock.now() - reply.date - timedelta(milliseconds=500))
        outcome = Severity.FAIL if apart > WORST_SKEW else Severity.OK
        hint = "" if outcome is Severity.OK else "Correct the clock that is wrong; nothing starts while they disagree."
        message = f"the clock of {host} is {apart.total_seconds():.1f} s from ours"
        self._findings.append(Finding(self._settings.name, "clock", outcome, message, hint, 75))

    # --------------------------------------------------------------------------------------------------------- telling

    def _tell(self, check: str, outcome: Severity, message: str, hint: str = "", status: int = 1) -> None:
        self._findings.append(Finding(self._subject, check, outcome, message, hint, status))

    def _provider(self, outcome: Severity, message: str, hint: str = "", status: int = 1) -> None:
        self._findings.append(Finding(self._settings.name, "login", outcome, message, hint, status))


def short(duration: timedelta) -> str:
    """Return a duration as a person says it, rounded down."""
    seconds = int(duration.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and seconds % size == 0):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _enabled(policy: object) -> bool:
    return isinstance(policy, dict) and policy.get("isEnabled") is True


def _rules(restrictions: object, field: str) -> list[Mapping[str, Any]]:
    rules = restrictions.get(field) if isinstance(restrictions, dict) else None
    return [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []


def _applies(rule: Mapping[str, Any], created: Any) -> bool:
    """Say whether a restriction holds for an application made then; yes when either time is not known."""
    since = moment(rule.get("restrictForAppsCreatedAfterDateTime"))
    return rule.get("state") != "disabled" and (since is None or created is None or created >= since)


def _duration(value: object) -> timedelta | None:
    """Return an ISO 8601 duration; a year counts 365 days and a month 30. None for anything else."""
    found = _DURATION.match(value) if isinstance(value, str) else None
    if found is None:
        return None
    part = {name: int(number) for name, number in found.groupdict(default="0").items()}
    days = part.pop("years") * 365 + part.pop("months") * 30 + part.pop("days")
    return timedelta(days=days, **part)
