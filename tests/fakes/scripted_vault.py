"""A loopback server that answers like Vault where the real one cannot be made to; it is no proof of what Vault does.

It knows just enough of KV version 2 for a store to work, counts what it is asked, and lets a test answer in its place.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as it arrived."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Any
    client: str = ""  # the subject of the client certificate

    @property
    def token(self) -> str | None:
        return self.headers.get("x-vault-token")


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. body: bytes as they are, anything else as JSON. drop: end the connection without an answer."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False


Script = Callable[[Ask], Answer | None]


class ScriptedVault:
    """The server. script: answers instead of it, or returns None to let it answer by itself."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.script: Script = lambda _: None
        self.asked: list[Ask] = []
        self.documents: dict[str, list[Any]] = {}
        self.tokens: set[str] = {"given"}
        self.ttl = 3600
        self.logins = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            served: ClassVar[ScriptedVault] = outer

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                length = int(self.headers.get("Content-Length") or 0)
                content = self.rfile.read(length)
                parts = urlsplit(self.path)
                peer: dict[str, object] = getattr(self.connection, "getpeercert", dict)() or {}
                ask = Ask(
                    self.command.lower(),
                    parts.path.removeprefix("/v1/"),
                    parts.query,
                    {name.lower(): value for name, value in self.headers.items()},
                    json.loads(content) if content else None,
                    str(peer.get("subject", "")),
                )
                answer = self.served.answer(ask)
                if answer.drop:
                    self.close_connection = True
                    return
                self.reply(answer)

            def reply(self, answer: Answer) -> None:
                content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body or {}).encode()
                if answer.status == 204:
                    content = b""
                self.send_response_only(answer.status)
                headers = {"Content-Type": "application/json", "Date": self.date_time_string(), **answer.headers}
                for name, value in headers.items():
                    if value:
                        self.send_header(name, value)
                if answer.status != 204:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that leave are expected
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.address = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def paths(self, method: str | None = None) -> list[str]:
        """Return the paths asked for, in order."""
        return [ask.path for ask in self.asked if method in (None, ask.method)]

    def answer(self, ask: Ask) -> Answer:
        with self._lock:
            self.asked.append(ask)
            scripted = self.script(ask)
            return scripted if scripted is not None else self.by_itself(ask)

    def by_itself(self, ask: Ask) -> Answer:
        """Answer as Vault does."""
        if ask.path == "sys/health":
            return Answer(body={"initialized": True, "sealed": False, "standby": False, "version": "1.21.2"})
        if ask.path.startswith("auth/") and ask.path.endswith("/login"):
            self.logins += 1
            token = f"login-{self.logins}"
            self.tokens.add(token)
            return Answer(body={"auth": {"client_token": token, "lease_duration": self.ttl, "renewable": True}})
        if ask.path == "sys/internal/ui/mounts":
            return Answer(body={"data": {}})
        if ask.token not in self.tokens:
            return Answer(403, {"errors": ["permission denied"]})
        if ask.path.startswith("sys/internal/ui/mounts/"):
            mount = ask.path.removeprefix("sys/internal/ui/mounts/")
            return Answer(body={"data": {"type": "kv", "options": {"version": "2"}, "path": f"{mount}/"}})
        if ask.path == "sys/capabilities-self":
            return Answer(body={"data": {path: ["read"] for path in ask.body["paths"]}})
        if ask.path in ("auth/token/lookup-self", "auth/token/renew-self"):
            facts = {"ttl": self.ttl, "lease_duration": self.ttl, "renewable": True, "policies": ["rotator"]}
            return Answer(body={"data": facts, "auth": facts})
        if ask.path == "auth/token/revoke-self":
            self.tokens.discard(ask.token or "")
            return Answer(204)
        return self._document(ask)

    def _document(self, ask: Ask) -> Answer:
        versions = self.documents.setdefault(ask.path, [])
        if "/metadata/" in f"/{ask.path}":
            return Answer(204)
        if ask.method == "post":
            if ask.body["options"]["cas"] != len(versions):
                text = "check-and-set parameter did not match the current version"
                return Answer(400, {"errors": [text]})
            versions.append(ask.body["data"])
            return Answer(body={"data": self._facts(len(versions)), "request_id": f"r-{len(self.asked)}"})
        number = int(ask.query.removeprefix("version=") or len(versions))
        if not 1 <= number <= len(versions):
            return Answer(404, {"errors": []})
        return Answer(body={"data": {"data": versions[number - 1], "metadata": self._facts(number)}})

    @staticmethod
    def _facts(number: int) -> dict[str, object]:
        return {
            "version": number,
            "created_time": "2026-11-24T15:00:00.123456789Z",
            "deletion_time": "",
            "destroyed": False,
        }
