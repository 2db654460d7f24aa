"""Asks a web server over a real connection, TCP or Unix, with the headers that a test wants and no others."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Got:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    @property
    def reasons(self) -> list[str]:
        """Return the codes of what is not well."""
        return [one["code"] for one in self.json["reasons"]]

    def value(self, name: str, **labels: str) -> float:
        """Return the one sample of that name which has these labels, whatever others it has."""
        (found,) = [
            one.value
            for family in text_string_to_metric_families(self.body.decode())
            for one in family.samples
            if one.name == name and labels.items() <= one.labels.items()
        ]
        return float(found)


class Client:
    """Asks at a port, or at the path of a Unix socket."""

    def __init__(self, where: int | str | None) -> None:
        assert where is not None
        self._where = where

    def ask(self, path: str, method: str = "GET", host: str | None = None) -> Got:
        """Make one request on a connection of its own. host: None for what belongs there, empty for none at all."""
        connection = http.client.HTTPConnection("127.0.0.1", self._where if isinstance(self._where, int) else 80)
        connection.sock = self.connect()
        connection.putrequest(method, path, skip_host=host is not None)
        if host:
            connection.putheader("Host", host)
        connection.putheader("Connection", "close")
        connection.endheaders()
        answer = connection.getresponse()
        got = Got(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        connection.close()
        return got

    def connect(self) -> socket.socket:
        """Return a connection."""
        if isinstance(self._where, int):
            return socket.create_connection(("127.0.0.1", self._where))
        unix = socket.socket(socket.AF_UNIX)
        unix.connect(self._where)
        return unix
