"""Stand-ins for Auth0 and Okta, each after the vendor's published API description; they speak TLS by `serving`.

What they cannot know: the vendors' pace, how long a new secret takes to spread, and what they answer on a bad day.
"""

from __future__ import annotations

import secrets
import threading
from typing import Any

TENANT = "https://example.eu.auth0.com"


class Auth0:
    """One tenant, after auth0.com/docs/api/management/v2/clients: `patch-clients-by-id` takes a `client_secret`.

    manager: the client that may use the Management API. reads: whether its token may read secrets too
    (`read:client_keys`). broken: the next change is made, and the answer is a 502.
    """

    def __init__(self) -> None:
        self.manager = ("manager", secrets.token_urlsafe(32))
        self.clients = {"shop": secrets.token_urlsafe(48)}
        self.tokens: set[str] = set()
        self.broken = 0
        self.changes: list[str] = []
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, key: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Return status and body."""
        with self._lock:
            if (method, path) == ("POST", "/oauth/token"):
                return self._token(body)
            if key not in self.tokens:
                return 401, _auth0_error(401, "Unauthorized", "Invalid token")
            name = path.removeprefix("/api/v2/clients/")
            if name not in self.clients:
                return 404, _auth0_error(404, "Not Found", "The client does not exist")
            if method == "PATCH" and "client_secret" in body:
                self.clients[name] = body["client_secret"]
                self.changes.append(body["client_secret"])
                if self.broken:
                    self.broken -= 1
                    return 502, None
            return 200, {"client_id": name, "name": name, "app_type": "non_interactive", "tenant": "example"}

    def _token(self, body: dict[str, Any]) -> tuple[int, Any]:
        who = body.get("client_id"), body.get("client_secret")
        if not body.get("audience"):
            return 403, {"error": "access_denied", "error_description": "No audience parameter was provided"}
        if who == self.manager and body["audience"].endswith("/api/v2/"):
            self.tokens.add(token := secrets.token_urlsafe(24))
            return 200, {"access_token": token, "token_type": "Bearer", "expires_in": 86400, "scope": "update:clients"}
        if self.clients.get(str(who[0])) == who[1]:
            return 200, {"access_token": secrets.token_urlsafe(24), "token_type": "Bearer", "expires_in": 86400}
        return 401, {"error": "access_denied", "error_description": "Unauthorized"}


class Okta:
    """One application, after developer.okta.com/docs/api, "Application Client Auth Credentials".

    Two secrets at most; one that is active is deactivated before it is deleted; only the answer to the creation holds
    the value; nothing can be labelled. lost: so many creations are made, and answered with a 500.
    """

    def __init__(self) -> None:
        self.key = secrets.token_urlsafe(24)
        self.secrets: dict[str, dict[str, Any]] = {}
        self.values: dict[str, str] = {}
        self.lost = 0
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, key: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Return status and body."""
        with self._lock:
            if path == "/oauth2/v1/token":
                live = [self.values[one] for one, held in self.secrets.items() if held["status"] == "ACTIVE"]
                if body.get("client_secret") in live:
                    return 200, {"access_token": secrets.token_urlsafe(24), "token_type": "Bearer", "expires_in": 3600}
                return 401, {"error": "invalid_client", "error_description": "The client secret supplied is invalid."}
            if key != self.key:
                return 401, _okta_error("E0000011", "Invalid token provided")
            if not path.startswith("/api/v1/apps/0oa1/credentials/secrets"):
                return 404, _okta_error("E0000007", "Not found: Resource not found")
            return self._of_secrets(method, path.removeprefix("/api/v1/apps/0oa1/credentials/secrets").strip("/"))

    def _of_secrets(self, method: str, path: str) -> tuple[int, Any]:
        if method == "GET":
            return 200, list(self.secrets.values())
        if method == "POST" and not path:
            if len(self.secrets) >= 2:
                return 400, _okta_error("E0000001", "Api validation failed: client_secret")
            return self._made()
        name, _, rest = path.partition("/")
        if name not in self.secrets:
            return 404, _okta_error("E0000007", f"Not found: Resource not found: {name}")
        if rest == "lifecycle/deactivate":
            self.secrets[name]["status"] = "INACTIVE"
            return 200, self.secrets[name]
        if self.secrets[name]["status"] == "ACTIVE":
            return 400, _okta_error("E0000001", "Api validation failed: an active secret cannot be deleted")
        del self.secrets[name]
        return 204, None

    def _made(self) -> tuple[int, Any]:
        name, value = f"ocs{secrets.token_hex(8)}", secrets.token_urlsafe(30)
        held = {"id": name, "status": "ACTIVE", "secret_hash": secrets.token_urlsafe(16), "client_secret": "*****",
                "created": "2026-11-26T12:00:00.000Z", "lastUpdated": "2026-11-26T12:00:00.000Z"}  # fmt: skip
        self.secrets[name], self.values[name] = held, value
        if self.lost:
            self.lost -= 1
            return 500, _okta_error("E0000009", "Internal Server Error")
        return 201, {**held, "client_secret": value}


def _auth0_error(status: int, error: str, message: str) -> dict[str, Any]:
    return {"statusCode": status, "error": error, "message": message}


def _okta_error(code: str, summary: str) -> dict[str, Any]:
    return {"errorCode": code, "errorSummary": summary, "errorLink": code, "errorId": "oae1", "errorCauses": []}
