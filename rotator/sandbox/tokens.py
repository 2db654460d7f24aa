"""Entra's token endpoint, metadata, keys and managed identity, as rules on plain requests; nothing else of Entra.

Statuses, errors and AADSTS numbers after learn.microsoft.com "reference-error-codes" and answers in public issues.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from rotator.sandbox.directory import Directory
from rotator.sandbox.exchange import Call, Refusal, Reply
from rotator.sandbox.identity import BadAssertion, Identity
from rotator.sandbox.world import GRAPH_URI, App, Resource

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
IDENTITY_HEADER = "rotator-sandbox"  # what a managed identity must send as X-IDENTITY-HEADER
_TOLERANCE = timedelta(minutes=5)

# AADSTS number -> HTTP status and OAuth error.
_KINDS: dict[int, tuple[int, str]] = {
    7000215: (401, "invalid_client"),
    7000222: (401, "invalid_client"),
    7000216: (401, "invalid_client"),
    700021: (401, "invalid_client"),
    700023: (401, "invalid_client"),
    700024: (401, "invalid_client"),
    700027: (401, "invalid_client"),
    50027: (400, "invalid_request"),
    70021: (400, "invalid_request"),
    700016: (400, "unauthorized_client"),
    7000112: (400, "unauthorized_client"),
    1002012: (400, "invalid_scope"),
    70011: (400, "invalid_scope"),
    500011: (400, "invalid_resource"),
    70003: (400, "unsupported_grant_type"),
    900144: (400, "invalid_request"),
    9002313: (400, "invalid_request"),
    90002: (400, "invalid_request"),
    90033: (503, "temporarily_unavailable"),
    90055: (429, "temporarily_unavailable"),
    50000: (500, "server_error"),
}
_BY_STATUS = {400: 9002313, 401: 7000215, 429: 90055, 500: 50000, 503: 90033}


class TokenEndpoint:
    """`POST /{tenant}/oauth2/v2.0/token` and what surrounds it."""

    def __init__(self, directory: Directory, identity: Identity) -> None:
        self._directory = directory
        self._identity = identity

    def token(self, call: Call) -> Reply:
        """Answer a client credentials request: secret by post or Basic, or a client assertion."""
        self._check_tenant(call, "invalid_request")
        form = call.form()
        grant = form.get("grant_type")
        if grant is None:
            raise self._refusal(900144, "The request body must contain the following parameter: 'grant_type'.")
        if grant != "client_credentials":
            raise self._refusal(70003, f"The app requested an unsupported grant type '{grant}'.")
        basic = call.basic()
        client_id = form.get("client_id") or (basic[0] if basic else "")
        if not client_id:
            raise self._refusal(900144, "The request body must contain the following parameter: 'client_id'.")
        app = self._app(client_id)
        method, replica = self._authenticate(call, app, form.get("client_secret") or (basic[1] if basic else None))
        resource, audience = self._resource(form.get("scope", ""))
        lifetime = int(app.token_lifetime.total_seconds())
        return Reply(
            200,
            {
                "token_type": "Bearer",
                "expires_in": lifetime,
                "ext_expires_in": lifetime,
                "access_token": self._identity.access_token(app, resource, method=method, audience=audience),
            },
            {"cache-control": "no-store, no-cache", "pragma": "no-cache", "x-ms-ests-server": f"replica-{replica}"},
        )

    def metadata(self, call: Call) -> Reply:
        """Answer with the OpenID configuration of the tenant."""
        self._check_tenant(call, "invalid_tenant")
        base, tenant = self._identity.base_url, self._directory.world.tenant
        return Reply(
            200,
            {
                "issuer": self._identity.issuer,
                "token_endpoint": f"{base}/{tenant}/oauth2/v2.0/token",
                "authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/authorize",
                "jwks_uri": f"{base}/{tenant}/discovery/v2.0/keys",
                "token_endpoint_auth_methods_supported": [
                    "client_secret_post",
                    "private_key_jwt",
                    "client_secret_basic",
                ],
                "response_types_supported": ["code"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
            },
        )

    def instance_discovery(self, call: Call) -> Reply:
        """Answer a client that asks whether this authority is one: it is, for itself only."""
        base, tenant = self._identity.base_url, self._directory.world.tenant
        endpoint = f"{base}/{tenant}/v2.0/.well-known/openid-configuration"
        host = base.partition("://")[2]
        return Reply(
            200,
            {
                "tenant_discovery_endpoint": endpoint,
                "api-version": "1.1",
                "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
            },
        )

    def keys(self, call: Call) -> Reply:
        """Answer with the signing keys."""
        self._check_tenant(call, "invalid_tenant")
        return Reply(200, self._identity.jwks())

    def managed_identity(self, call: Call) -> Reply:
        """Answer as the App Service endpoint (X-IDENTITY-HEADER) or the instance metadata service (Metadata: true)."""
        trusted = call.headers.get("x-identity-header") == IDENTITY_HEADER
        if not trusted and call.headers.get("metadata", "").lower() != "true":
            raise Refusal(Reply(400, {"error": "invalid_request", "error_description": "Required header missing"}))
        app = self._directory.world.rotator
        if call.query.get("client_id", app.app_id) != app.app_id:
            raise Refusal(Reply(400, {"error": "invalid_request", "error_description": "Identity not found"}))
        resource, audience = self._resource(call.query.get("resource", "") + "/.default")
        expires = int((self._directory.now() + app.token_lifetime).timestamp())
        return Reply(
            200,
            {
                "access_token": self._identity.access_token(app, resource, method="2", audience=audience),
                "client_id": app.app_id,
                "expires_on": str(expires),
                "not_before": str(expires - 3600),
                "resource": call.query.get("resource", ""),
                "token_type": "Bearer",
            },
        )

    def error(self, status: int, code: str | None = None) -> Reply:
        """Return an error in this endpoint's words, for the weather to answer with. code: an AADSTS number."""
        number = int(code) if code else _BY_STATUS.get(status, 90033)
        reply = self._refusal(number, "The sandbox was told to answer so.").reply
        return Reply(status, reply.body, reply.headers)

    def _check_tenant(self, call: Call, error: str) -> None:
        tenant = call.params.get("tenant", "")
        if tenant.lower() != self._directory.world.tenant:
            message = f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."
            refusal = self._refusal(90002, message)
            refusal.reply.body["error"] = error  # type: ignore[index]  # an error always has a body
            raise refusal

    def _app(self, client_id: str) -> App:
        app = self._directory.find(client_id)
        if app is None or app.app_id != client_id.lower():
            message = f"Application with identifier '{client_id}' was not found in the directory 'Sandbox'."
            raise self._refusal(700016, message)
        if app.disabled:
            raise self._refusal(7000112, f"Application '{client_id}'({app.name}) is disabled.")
        return app

    def _authenticate(self, call: Call, app: App, secret: str | None) -> tuple[str, int]:
        form = call.form()
        assertion = form.get("client_assertion")
        if assertion is not None and form.get("client_assertion_type") == ASSERTION_TYPE:
            try:
                key = self._identity.check_assertion(app.app_id, assertion, self._identity.base_url + call.path)
            except BadAssertion as fault:
                raise self._refusal(fault.number or 700027, fault.message) from None
            if key is not None:
                self._directory.saw_sign_in(key)
            return "2", 0
        if not secret:
            raise self._refusal(
                7000216,
                "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
            )
        held, replica = self._directory.recognise(app.app_id, secret)
        if held is None:
            message = "Invalid client secret provided. Ensure the secret being sent in the request is the client"
            message += f" secret value, not the client secret ID, for a secret added to app '{app.app_id}'."
            raise self._refusal(7000215, message, replica)
        now = self._directory.now()
        if held.expires_at <= now or held.starts_at > now + _TOLERANCE:
            raise self._refusal(
                7000222, f"The provided client secret keys for app '{app.app_id}' are expired.", replica
            )
        self._directory.saw_sign_in(held)
        return "1", replica

    def _resource(self, scope: str) -> tuple[Resource, str]:
        """Return the API that `scope` asks for, and the name it was asked by, which is a v1 token's audience."""
        if len(scope.split()) != 1:
            raise self._refusal(70011, f"The provided value for the input parameter 'scope' is not valid: '{scope}'.")
        if not scope.endswith("/.default"):
            message = f"The provided value for scope {scope} is not valid. Client credential flows must have a scope"
            raise self._refusal(1002012, message + " value with /.default suffixed to the resource identifier.")
        name = scope.removesuffix("/.default").rstrip("/")
        if name in (self._identity.base_url, self._identity.base_url.replace("127.0.0.1", "localhost")):
            name = GRAPH_URI
        for resource in self._directory.world.resources:
            if name in (resource.uri, resource.app_id):
                return resource, name
        raise self._refusal(500011, f"The resource principal named {name} was not found in the tenant named Sandbox.")

    def _refusal(self, number: int, message: str, replica: int = 0) -> Refusal:
        status, error = _KINDS.get(number, (400, "invalid_request"))
        stamp = self._directory.now().strftime("%Y-%m-%d %H:%M:%SZ")
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        text = f"AADSTS{number}: {message} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}"
        body: dict[str, Any] = {
            "error": error,
            "error_description": text,
            "error_codes": [number],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"{self._identity.base_url}/error?code={number}",
        }
        return Refusal(Reply(status, body, {"cache-control": "no-store", "x-ms-ests-server": f"replica-{replica}"}))
