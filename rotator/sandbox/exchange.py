"""One request and its answer as plain values; knows no socket, so that the issuers' rules can be tried without one."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it arrived. headers: lower-case names. params: what the route's pattern picked out of the path."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    def form(self) -> dict[str, str]:
        """Return the form fields; empty when the body is not application/x-www-form-urlencoded."""
        if not self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return {}
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    def json(self) -> dict[str, Any]:
        """Return the JSON object in the body, or an empty one for an empty body; ValueError for anything else."""
        if not self.body.strip():
            return {}
        value = json.loads(self.body)
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004  # the input is wrong, not the program
        return value

    def basic(self) -> tuple[str, str] | None:
        """Return client id and secret of a Basic header, both halves form-decoded (RFC 6749 section 2.3.1)."""
        scheme, _, payload = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, _, password = base64.b64decode(payload, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return unquote_plus(user), unquote_plus(password)

    def submitted(self) -> str:
        """Return everything secret-bearing that was sent, as a careless vendor would repeat it in an error text."""
        pair = self.basic()
        header = ":".join(pair) if pair else self.headers.get("authorization", "")
        fields = " ".join(f"{name}={value}" for name, value in self.form().items())
        return " ".join(part for part in (header, fields or self.body.decode("utf-8", "replace")) if part)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. body: a JSON object, or None for no body at all."""

    status: int
    body: dict[str, Any] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """Raised by a rule to answer with `reply` at once."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"refused with {reply.status}")
        self.reply = reply
