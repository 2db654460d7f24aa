"""The part of Microsoft Graph v1.0 that rotates secrets and certificates, as rules on plain requests; all else is 404.

Shapes and error codes after learn.microsoft.com "application: addPassword", "removePassword", "Microsoft Graph error
responses" and "tenantAppManagementPolicy", and the answers quoted in public issues (nais/azurerator #448).
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from rotator.sandbox.directory import Directory, Rejected
from rotator.sandbox.exchange import Call, Refusal, Reply
from rotator.sandbox.identity import BadAssertion, Identity
from rotator.sandbox.keys import KeyRing, identifier
from rotator.sandbox.records import HeldKey, HeldSecret
from rotator.sandbox.weather import Sky
from rotator.sandbox.world import App, SecretPolicy

T = TypeVar("T")

_WRITES_ALL = {"Application.ReadWrite.All", "Directory.ReadWrite.All"}
READS = _WRITES_ALL | {"Application.ReadWrite.OwnedBy", "Application.Read.All", "Directory.Read.All"}
_READS_POLICY = {"Policy.Read.All", "Policy.Read.ApplicationConfiguration", "Policy.ReadWrite.ApplicationConfiguration"}
_CODES = {
    400: "Request_BadRequest",
    401: "InvalidAuthenticationToken",
    403: "Authorization_RequestDenied",
    404: "Request_ResourceNotFound",
    409: "Directory_ConcurrencyViolation",
    429: "TooManyRequests",
    500: "InternalServerError",
    502: "BadGateway",
    503: "serviceNotAvailable",
    504: "GatewayTimeout",
}
_CONCURRENCY = "Error due to concurrent requests being made to the tenant. Please wait briefly and retry."


@dataclass(frozen=True, slots=True)
class Caller:
    """Who holds the bearer token, and the app roles in it."""

    app_id: str
    principal_id: str
    roles: frozenset[str]


class Graph:
    """The Graph routes."""

    def __init__(self, directory: Directory, ring: KeyRing, identity: Identity, sky: Sky) -> None:
        self._directory = directory
        self._ring = ring
        self._identity = identity
        self._sky = sky

    # Reading

    def applications(self, call: Call) -> Reply:
        """GET /applications, with $filter on appId, $select and paging."""
        self._permitted(self._caller(call), READS)
        return self._page(call, "applications", [self._application(app, call) for app in self._filtered(call)])

    def application(self, call: Call) -> Reply:
        """GET /applications/{id} and /applications(appId='…')."""
        self._permitted(self._caller(call), READS)
        body = self._application(self._addressed(call), call)
        return self._answer({"@odata.context": self._context("applications/$entity"), **body})

    def owners(self, call: Call) -> Reply:
        """GET /applications/{id}/owners: a person, and rotator's service principal where it owns the application."""
        self._permitted(self._caller(call), READS)
        app, ours = self._addressed(call), self._directory.world.rotator
        owners: list[dict[str, Any]] = [
            {
                "@odata.type": "#microsoft.graph.user",
                "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"owner:{app.app_id}")),
                "displayName": "Dana Sandbox",
            }
        ]
        if app.owned:
            owners.append({"@odata.type": "#microsoft.graph.servicePrincipal", **_principal(ours)})
        return self._page(call, "directoryObjects", owners)

    def sign_ins(self, call: Call) -> Reply:
        """GET /beta/reports/appCredentialSignInActivities, with $filter on appId: when each secret was last used."""
        self._permitted(self._caller(call), {"AuditLog.Read.All"})
        kinds = {key.key_id: "certificate" for app in self._directory.apps() for key in self._ring.truth(app.app_id)}
        rows = [
            {
                "id": base64.b64encode(f"{key_id}|application".encode()).decode(),
                "keyId": key_id,
                "keyType": kinds.get(key_id, "clientSecret"),
                "appId": app.app_id,
                "signInActivity": {"lastSignInDateTime": at.isoformat().replace("+00:00", "Z")},
            }
            for app in self._filtered(call)
            for key_id, at in self._directory.signed_in(app.app_id)
        ]
        return self._page(call, "reports/appCredentialSignInActivities", rows)

    def principals(self, call: Call) -> Reply:
        """GET /servicePrincipals, with $filter on appId."""
        self._permitted(self._caller(call), READS)
        return self._page(call, "servicePrincipals", [_principal(app) for app in self._filtered(call)])

    def principal(self, call: Call) -> Reply:
        """GET /servicePrincipals/{id} and /servicePrincipals(appId='…')."""
        self._permitted(self._caller(call), READS)
        return self._answer(
            {"@odata.context": self._context("servicePrincipals/$entity"), **_principal(self._addressed(call))}
        )

    def default_policy(self, call: Call) -> Reply:
        """GET /policies/defaultAppManagementPolicy."""
        self._permitted(self._caller(call), _READS_POLICY)
        policy = self._directory.world.tenant_policy
        nothing: dict[str, Any] = {"passwordCredentials": [], "keyCredentials": []}
        return self._answer(
            {
                "@odata.context": self._context("policies/defaultAppManagementPolicy/$entity"),
                "id": "00000000-0000-0000-0000-000000000000",
                "displayName": "Default app management tenant policy",
                "description": "Default tenant policy that enforces app management restrictions.",
                "isEnabled": policy is not None,
                "applicationRestrictions": _restrictions(policy) if policy else nothing,
                "servicePrincipalRestrictions": nothing,
            }
        )

    def policies(self, call: Call) -> Reply:
        """GET /applications/{id}/appManagementPolicies."""
        self._permitted(self._caller(call), _READS_POLICY)
        app = self._addressed(call)
        found = []
        if app.policy is not None:
            found.append(
                {
                    "id": app.policy.policy_id,
                    "displayName": "Sandbox policy",
                    "description": "What this application may hold.",
                    "isEnabled": True,
                    "restrictions": _restrictions(app.policy),
                }
            )
        return self._page(call, "appManagementPolicies", found)

    # Writing

    def add_password(self, call: Call) -> Reply:
        """POST /applications/{id}/addPassword."""
        caller = self._caller(call)
        app = self._addressed(call)
        self._may_write(caller, app)
        wish = self._object(call).get("passwordCredential") or {}
        secret = self._ruled(
            lambda: self._directory.add(
                app.app_id,
                display_name=wish.get("displayName"),
                expires_at=self._moment(wish.get("endDateTime")),
                by=caller.app_id,
            )
        )
        body = {**_password(secret), "secretText": secret.text}
        return self._answer({"@odata.context": self._context("microsoft.graph.passwordCredential"), **body})

    def remove_password(self, call: Call) -> Reply:
        """POST /applications/{id}/removePassword."""
        caller = self._caller(call)
        app = self._addressed(call)
        self._may_write(caller, app)
        key_id = str(self._object(call).get("keyId", ""))
        try:
            uuid.UUID(key_id)
        except ValueError:
            raise Refusal(self.error(400, message="Cannot convert the value of 'keyId' to type 'Edm.Guid'.")) from None
        self._ruled(lambda: self._directory.remove(app.app_id, key_id, by=caller.app_id))
        return Reply(204, None, self._headers())

    def concurrency_violation(self) -> Reply:
        """Return the answer to a write that met another one on the same application."""
        return self.error(409, message=_CONCURRENCY)

    def error(self, status: int, code: str | None = None, message: str = "The sandbox was told to answer so.") -> Reply:
        """Return an error in Graph's words."""
        request = str(uuid.uuid4())
        code = code or _CODES.get(status, "generalException")
        if code == "Directory_ConcurrencyViolation":
            message = _CONCURRENCY
        inner = {
            "date": self._directory.now().strftime("%Y-%m-%dT%H:%M:%S"),  # without a zone, as Graph sends it
            "request-id": request,
            "client-request-id": request,
        }
        headers = {**self._headers(), "request-id": request}
        if status == 401:
            headers["www-authenticate"] = 'Bearer realm="", error="invalid_token"'
        return Reply(status, {"error": {"code": code, "message": message, "innerError": inner}}, headers)

    # Inside

    def _caller(self, call: Call) -> Caller:
        try:
            claims = self._identity.bearer(call.headers.get("authorization", ""))
        except BadAssertion as fault:
            raise Refusal(self.error(401, message=fault.message)) from None
        app_id = str(claims.get("azp") or claims.get("appid"))
        return Caller(app_id, str(claims["oid"]), frozenset(claims.get("roles", ())))

    def _permitted(self, caller: Caller, sufficient: set[str]) -> None:
        if not caller.roles & sufficient:
            raise Refusal(self.error(403, message="Insufficient privileges to complete the operation."))

    def _may_write(self, caller: Caller, app: App) -> None:
        ours = app.owned and caller.principal_id == self._directory.world.rotator.principal_id
        if not (ours and "Application.ReadWrite.OwnedBy" in caller.roles):
            self._permitted(caller, _WRITES_ALL)

    def _addressed(self, call: Call) -> App:
        by_app_id, name = call.params.get("app_id"), call.params.get("id", "")
        app = self._directory.find(by_app_id or name)
        if app is None or (by_app_id is None and app.app_id == name.lower()):
            message = f"Resource '{by_app_id or name}' does not exist or one of its queried reference-property objects"
            raise Refusal(self.error(404, message=message + " are not present."))
        return app

    def _filtered(self, call: Call) -> list[App]:
        wanted = call.query.get("$filter")
        if wanted is None:
            return self._directory.apps()
        match = re.fullmatch(r"\s*appId\s+eq\s+'([^']*)'\s*", wanted)
        if match is None:
            message = "Unsupported or invalid query filter clause specified."
            raise Refusal(self.error(400, "Request_UnsupportedQuery", message))
        app = self._directory.find(match[1])
        return [app] if app is not None and app.app_id == match[1].lower() else []

    def _application(self, app: App, call: Call) -> dict[str, Any]:
        audience = "AzureADandPersonalMicrosoftAccount" if app.personal else "AzureADMyOrg"
        whole = {
            "id": app.object_id,
            "appId": app.app_id,
            "displayName": app.name,
            "signInAudience": audience,
            "disabledByMicrosoftStatus": None,
            "isDisabled": app.disabled or None,
            "passwordCredentials": [_password(secret) for secret in self._directory.listed(app.app_id)],
            "keyCredentials": [],
        }
        chosen = call.query.get("$select")
        names = {name.strip() for name in chosen.split(",")} if chosen else set(whole)
        # "key" is returned only on $select, and only for a single object: learn.microsoft.com, keyCredential.
        single = "keyCredentials" in names and chosen is not None and bool(call.params)
        whole["keyCredentials"] = [key_credential(key, whole=single) for key in self._ring.listed(app.app_id)]
        return {name: value for name, value in whole.items() if name in names}

    def _page(self, call: Call, kind: str, items: list[dict[str, Any]]) -> Reply:
        start = int(call.query.get("$skiptoken", "0"))
        size = self._sky.weather.page_size or int(call.query.get("$top", "100"))
        body: dict[str, Any] = {"@odata.context": self._context(kind), "value": items[start : start + size]}
        if start + size < len(items):
            kept = "&".join(f"{name}={value}" for name, value in call.query.items() if name != "$skiptoken")
            link = f"{self._identity.base_url}{call.path}?{kept}{'&' if kept else ''}$skiptoken={start + size}"
            body["@odata.nextLink"] = link.replace(" ", "%20")
        return self._answer(body)

    def _object(self, call: Call) -> Mapping[str, Any]:
        try:
            return call.json()
        except ValueError:
            raise Refusal(self.error(400, message="Unable to read JSON request payload.")) from None

    def _moment(self, text: object) -> datetime | None:
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(str(text))
        except ValueError:
            message = "Cannot convert a value to type 'Edm.DateTimeOffset'."
            raise Refusal(self.error(400, message=message)) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def _ruled(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except Rejected as no:
            raise Refusal(self.error(no.status, no.code, no.message)) from None

    def _answer(self, body: dict[str, Any]) -> Reply:
        return Reply(200, body, self._headers())

    def _headers(self) -> dict[str, str]:
        return {"request-id": str(uuid.uuid4()), "odata-version": "4.0", "x-ms-resource-unit": "1"}

    def _context(self, tail: str) -> str:
        return f"{self._identity.base_url}/v1.0/$metadata#{tail}"


def _password(secret: HeldSecret) -> dict[str, Any]:
    return {
        "customKeyIdentifier": None,
        "displayName": secret.display_name,
        "endDateTime": _graph_time(secret.expires_at),
        "hint": secret.hint,
        "keyId": secret.key_id,
        "secretText": None,
        "startDateTime": _graph_time(secret.starts_at),
    }


def key_credential(key: HeldKey, *, whole: bool) -> dict[str, Any]:
    return {
        "customKeyIdentifier": base64.b64encode(identifier(key)).decode(),
        "displayName": key.display_name,
        "endDateTime": _graph_time(key.expires_at),
        "key": key.der if whole else None,
        "keyId": key.key_id,
        "startDateTime": _graph_time(key.starts_at),
        "type": key.kind[0],
        "usage": key.kind[1],
    }


def _principal(app: App) -> dict[str, Any]:
    return {"id": app.principal_id, "appId": app.app_id, "displayName": app.name, "accountEnabled": not app.disabled}


def _restrictions(policy: SecretPolicy) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    since = "2020-01-01T00:00:00Z"
    if not policy.secrets_allowed:
        found.append(_restriction("passwordAddition", None, since))
    if policy.max_lifetime is not None:
        found.append(_restriction("passwordLifetime", _iso_duration(policy.max_lifetime), since))
    keys = []
    if policy.max_certificate_lifetime is not None:
        keys.append(_restriction("asymmetricKeyLifetime", _iso_duration(policy.max_certificate_lifetime), since))
    return {"passwordCredentials": found, "keyCredentials": keys}


def _restriction(kind: str, lifetime: str | None, since: str) -> dict[str, Any]:
    return {
        "restrictionType": kind,
        "state": "enabled",
        "maxLifetime": lifetime,
        "restrictForAppsCreatedAfterDateTime": since,
    }


def _iso_duration(duration: timedelta) -> str:
    days, seconds = divmod(int(duration.total_seconds()), 86400)
    return f"P{days}DT{seconds}S" if seconds else f"P{days}D"


def _graph_time(moment: datetime) -> str:
    """Return RFC 3339 with the seven digits of fraction that Graph sends."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
