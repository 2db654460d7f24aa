"""Does what consumers do all day: reads the store, asks for a token; counts what failed. It never writes.

Each request reads the store anew and goes over a connection of its own, by the standard library alone: nothing of
rotator's own token requests is in it, so a fault of those cannot hide here.
"""

from __future__ import annotations

import json
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from rotator.clock import Clock
from rotator.errors import RotatorError
from rotator.model import Credential
from rotator.ports import Documents

PAUSE = timedelta(milliseconds=100)
_PATIENCE = 10.0  # seconds for one request


@dataclass(frozen=True, slots=True)
class Failure:
    """One request that got no token. said: in short, never a value."""

    name: str
    said: str


class Consumers:
    """One thread that is a consumer of each credential in turn, from entering the block to leaving it.

    heard: called after each request with how many there were, and how many of them failed.
    """

    def __init__(
        self,
        credentials: Sequence[Credential],
        documents: Documents,
        *,
        token_url: str,
        ca_file: Path,
        clock: Clock,
        heard: Callable[[int, int], None],
    ) -> None:
        self._credentials = credentials
        self._documents = documents
        self._token_url = token_url
        context = ssl.create_default_context(cafile=str(ca_file))
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)
        self._clock = clock
        self._heard = heard
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="demo-consumers", daemon=True)
        self._broken: BaseException | None = None
        self.tokens: Counter[str] = Counter()
        self.versions: dict[str, set[int]] = {credential.name: set() for credential in credentials}
        self.failures: list[Failure] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._broken is not None and fault is None:
            raise self._broken

    @property
    def requests(self) -> int:
        """Return how many token requests were made so far, the failed ones too."""
        return self.tokens.total() + len(self.failures)

    def _work(self) -> None:
        try:
            while True:
                for credential in self._credentials:
                    self._ask(credential)
                    self._heard(self.requests, len(self.failures))
                    if self._clock.wait(PAUSE, self._stop):
                        return
        except Exception as fault:  # noqa: BLE001  # nobody else would see it: leaving the block raises it again
            self._broken = fault

    def _ask(self, credential: Credential) -> None:
        try:
            version = self._token(credential)
        except urllib.error.HTTPError as refusal:
            self._failed(credential, f"{refusal.code} {_error_in(refusal)}")
        except OSError as fault:
            self._failed(credential, type(fault).__name__)
        except RotatorError as fault:
            self._failed(credential, fault.code)
        else:
            self.tokens[credential.name] += 1
            self.versions[credential.name].add(version)

    def _token(self, credential: Credential) -> int:
        """Get one token; return the version of the document it was got with. KeyError when there is no secret."""
        document = self._documents.read(credential.path)
        secret = document.fields.secret("client_secret") if document.fields is not None else None
        if document.fields is None or secret is None:
            raise OSError("nothing to read")
        form = {
            "grant_type": "client_credentials",
            "client_id": document.fields.text("client_id") or "",
            "client_secret": secret.reveal(),  # it leaves for the token endpoint
            "scope": credential.scope,
        }
        body = urllib.parse.urlencode(form).encode()
        with self._opener.open(self._token_url, data=body, timeout=_PATIENCE) as answer:
            json.load(answer)["access_token"]
        return document.version

    def _failed(self, credential: Credential, said: str) -> None:
        self.failures.append(Failure(credential.name, said))


def _error_in(refusal: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(refusal.read()).get("error"))
    except (ValueError, AttributeError):
        return "without a reason"
