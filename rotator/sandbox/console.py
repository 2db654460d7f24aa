"""The admin API of the sandbox's Screening Eagle-like vendor: two live secrets a client, shown once, named by a label.

It is a stand-in: the real vendor publishes no such API. What it asks and answers is what such consoles have in common.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rotator.sandbox.exchange import Call, Refusal, Reply
from rotator.sandbox.vendor import Vendor, Vendors, VendorSecret

LIVE: Final = 2
LONGEST: Final = timedelta(days=365)
PAGE: Final = 2
"""So many items a page: few, so that every reader has to turn pages."""

_VENDOR: Final = Vendor.SCREENING_EAGLE


class Console:
    """Its rules. token: whoever sends it may do everything. live: how many secrets of a client may work at once."""

    def __init__(self, vendors: Vendors, token: str) -> None:
        self._vendors = vendors
        self._token = token
        self.live = LIVE

    def create(self, call: Call) -> Reply:
        """POST /console/v1/clients/{id}/credentials: 201 with the secret, which is never shown again."""
        client_id, live = self._client(call)
        try:
            body = call.json()
            seconds = int(body.get("ttlSeconds", LONGEST.total_seconds()))
        except (ValueError, TypeError):
            raise Refusal(self.error(400, "invalid_request")) from None
        if len([one for one in live if one.expires_at > self._now()]) >= self.live:
            raise Refusal(self.error(422, "limit_reached"))
        lifetime = min(timedelta(seconds=max(seconds, 1)), LONGEST)
        made = self._vendors.add(_VENDOR, client_id, lifetime, label=str(body.get("label", ""))[:200])
        return Reply(201, {**_shown(made), "clientSecret": made.text, "clientId": client_id})

    def list(self, call: Call) -> Reply:
        """GET: all secrets of the client, a page at a time, without their values."""
        _, held = self._client(call)
        start = int(call.query.get("after", "0") or "0")
        page = held[start : start + PAGE]
        body: dict[str, Any] = {"credentials": [_shown(one) for one in page], "nextPage": None}
        if start + PAGE < len(held):
            body["nextPage"] = f"{call.path}?after={start + PAGE}"
        return Reply(200, body)

    def remove(self, call: Call) -> Reply:
        """DELETE …/credentials/{key_id}: 204, or 404 when there is no such secret."""
        client_id, held = self._client(call)
        found = next((one for one in held if one.key_id == call.params.get("key_id")), None)
        if found is None:
            raise Refusal(self.error(404, "not_found"))
        self._vendors.withdraw(_VENDOR, client_id, found.text)
        return Reply(204)

    def error(self, status: int, code: str | None = None) -> Reply:
        """Return an error in this API's words."""
        code = code or {401: "unauthorized", 429: "too_many_requests"}.get(status, "internal_error")
        return Reply(status, {"code": code, "message": f"The request was not accepted: {code}."})

    def _client(self, call: Call) -> tuple[str, tuple[VendorSecret, ...]]:
        if call.headers.get("authorization") != f"Bearer {self._token}":
            raise Refusal(self.error(401))
        client_id = call.params.get("id", "")
        held = self._vendors.held(_VENDOR, client_id)
        if held is None:
            raise Refusal(self.error(404, "no_such_client"))
        return client_id, held

    def _now(self) -> datetime:
        return self._vendors.now()


def _shown(secret: VendorSecret) -> dict[str, Any]:
    return {
        "id": secret.key_id,
        "label": secret.label,
        "createdAt": secret.created_at.astimezone(UTC).isoformat(timespec="seconds"),
        "expiresAt": secret.expires_at.astimezone(UTC).isoformat(timespec="seconds"),
    }
