"""A stand-in for the API keys of SendGrid, after docs.sendgrid.com/api-reference/api-keys. It speaks TLS, nothing else.

What it cannot know: the vendor's pace, and what it answers on a bad day.
"""

from __future__ import annotations

import json
import secrets
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl

from rotator.sandbox.tls import Tls

SCOPES = ["api_keys.create", "api_keys.read", "api_keys.delete", "mail.send"]


class SendGrid:
    """Its keys. admin: one that a person made, which may do everything."""

    def __init__(self) -> None:
        self.admin = f"SG.{secrets.token_urlsafe(16)}"
        self.keys: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, key: str, body: dict[str, Any]) -> tuple[int, dict[str, Any] | None]:
        """Return status and body."""
        with self._lock:
            scopes = (
                SCOPES
                if key == self.admin
                else next((one["scopes"] for one in self.keys.values() if one["api_key"] == key), None)
            )
            if scopes is None:
                return 401, _error("authorization required")
            if (method, path) == ("GET", "/v3/scopes"):
                return 200, {"scopes": scopes}
            if not path.startswith("/v3/api_keys"):
                return 404, _error("not found")
            if "api_keys.create" not in scopes:
                return 403, _error("access forbidden")
            return self._of_keys(method, path.removeprefix("/v3/api_keys").lstrip("/"), body)

    def _of_keys(self, method: str, key_id: str, body: dict[str, Any]) -> tuple[int, dict[str, Any] | None]:
        if method == "POST":
            if not body.get("name"):
                return 400, _error("missing required argument")
            made = {"api_key_id": secrets.token_urlsafe(12), "name": body["name"], "scopes": body.get("scopes", SCOPES)}
            made["api_key"] = f"SG.{made['api_key_id']}.{secrets.token_urlsafe(32)}"
            self.keys[made["api_key_id"]] = made
            return 201, made
        if method == "GET":
            return 200, {"result": [{k: one[k] for k in ("api_key_id", "name")} for one in self.keys.values()]}
        if method == "DELETE" and self.keys.pop(key_id, None) is not None:
            return 204, None
        return 404, _error("unable to find API Key")


def _error(message: str) -> dict[str, Any]:
    return {"errors": [{"field": None, "message": message}]}


class Vendor(Protocol):
    """What a stand-in is: it answers requests."""

    def answer(self, method: str, path: str, key: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Return status and body. key: of a Bearer login. body: JSON, or the fields of a form."""


@contextmanager
def serving(vendor: Vendor, tls: Tls) -> Iterator[str]:
    """Serve one on loopback, and yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            form = self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
            body = dict(parse_qsl(content.decode())) if form else json.loads(content or b"{}")
            scheme, _, key = self.headers.get("Authorization", "").partition(" ")
            status, answer = vendor.answer(self.command, self.path, key if scheme == "Bearer" else "", body)
            content = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815  as the library calls them

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate_file, tls.key_file)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
