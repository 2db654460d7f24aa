"""Tells a web server of a record: one POST, signed, with a deadline. It follows no redirect and uses no proxy of the
environment.

The signature is that of Standard Webhooks: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from rotator.clock import SystemClock
from rotator.errors import RotatorError
from rotator.notifications.letter import Fate, Letter, Told
from rotator.secret import Secret

PATIENCE: Final = timedelta(seconds=10)

_MEDIA_TYPE: Final = "application/cloudevents+json"
_PREFIX: Final = "whsec_"
_NOT_THIS_ONE: Final = frozenset({400, 413, 415, 422})
_GONE: Final = 410


class Webhook:
    """One receiver. secret: reads the key of the signature anew for each letter; None: letters are not signed."""

    def __init__(self, url: str, secret: Callable[[], Secret] | None, now: Callable[[], datetime]) -> None:
        """Prepare. now: the time that a letter is signed with."""
        self._url, self._secret, self._now = url, secret, now

    def tell(self, letter: Letter) -> Told:
        """Send a letter once. Raises nothing: what went wrong is in the answer."""
        from rotator.wire.exchange import Body, Deadline, HeadOnly, Unanswered, exchange, trust

        try:
            headers = self._headers(letter)
        except RotatorError as error:
            return Told(Fate.LATER, error.message)
        except (ValueError, binascii.Error):
            return Told(Fate.LATER, f"its secret begins with {_PREFIX} and is not base64")
        transport = HeadOnly(trust(None), Deadline(SystemClock(), PATIENCE))
        try:
            answer = exchange(transport, "POST", self._url, headers, Body(_MEDIA_TYPE, letter.body))
        except Unanswered as failure:
            return Told(Fate.LATER, f"took nothing: {failure.message.rstrip('.')}")
        return _judged(answer.status, answer.headers.get("retry-after", ""))

    def _headers(self, letter: Letter) -> dict[str, str]:
        headers = {"webhook-id": letter.id}
        stamp = str(int(self._now().timestamp()))
        headers["webhook-timestamp"] = stamp
        if self._secret is not None:
            headers["webhook-signature"] = signature(self._secret(), letter.id, stamp, letter.body)
        return headers


def signature(secret: Secret, number: str, stamp: str, body: bytes) -> str:
    """Return the header of Standard Webhooks. secret: the bytes as they are, or `whsec_` and base64.

    Raises ValueError for base64 that is none.
    """
    said = secret.reveal()
    coded = said.removeprefix(_PREFIX)
    key = base64.b64decode(coded, validate=True) if coded != said else said.encode()
    content = f"{number}.{stamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()}"


def _judged(status: int, retry_after: str) -> Told:
    if 200 <= status < 300:
        return Told(Fate.TAKEN)
    if status == _GONE:
        return Told(Fate.GONE, "answered 410: it is gone")
    if status in _NOT_THIS_ONE:
        return Told(Fate.REFUSED, f"answered {status}")
    wait = timedelta(seconds=int(retry_after)) if retry_after.isascii() and retry_after.isdigit() else None
    return Told(Fate.LATER, f"answered {status}", wait)
