"""Seals documents for the embedded store with AES-256-GCM, and opens them; it knows nothing of files.

Each document is sealed as a whole under a fresh random 96-bit nonce (NIST SP 800-38D section 8.2.2; the 2^32 writes
that one key is good for are never reached here). Area, path and version number are authenticated with it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rotator.errors import Broken, Misconfigured
from rotator.secret import Fields, Secret

FORMAT = "rotator-sealed-1"
_NONCE = 12


def new_key() -> Secret:
    """Return a fresh store key: 32 random bytes in base64."""
    return Secret(base64.b64encode(secrets.token_bytes(32)).decode())


class Seal:
    """Seals documents with one key, and opens them again."""

    def __init__(self, key: Secret) -> None:
        """Raise Misconfigured unless `key` is the base64 of 32 bytes."""
        plain = _key_bytes(key)
        self._cipher = AESGCM(plain)
        # Tells one random 256-bit key from another, and nothing about it.
        self.key_id = hmac.new(plain, b"rotator embedded store: key id", hashlib.sha256).hexdigest()[:16]

    def sealed(self, area: str, path: str, version: int, versions: Mapping[int, Fields]) -> bytes:
        """Return the content of a file: a line in clear, then nonce and ciphertext."""
        nonce = secrets.token_bytes(_NONCE)
        clear = json.dumps({str(number): fields.reveal() for number, fields in versions.items()}).encode()
        head = f"{FORMAT} {self.key_id} {version}\n".encode()
        return head + nonce + self._cipher.encrypt(nonce, clear, _bound(area, path, version))

    def opened(self, content: bytes, area: str, path: str) -> tuple[int, dict[int, Fields]]:
        """Return version number and versions. Raises Misconfigured for another key, Broken for anything unexpected."""
        shown = f"{area}/{path}"
        head, line_end, rest = content.partition(b"\n")
        words = head.split(b" ")
        if not line_end or len(words) != 3 or words[0] != FORMAT.encode() or not words[2].isdigit():
            raise damaged(shown, "it is cut short or was not written by this program")
        if words[1] != self.key_id.encode():
            raise wrong_key(shown)
        version = int(words[2][:18])
        clear = None
        with contextlib.suppress(InvalidTag, ValueError):
            clear = self._cipher.decrypt(rest[:_NONCE], rest[_NONCE:], _bound(area, path, version))
        if clear is None:
            raise damaged(shown, "it is cut short, altered, or belongs in another place")
        return version, {int(number): Fields(values) for number, values in json.loads(clear).items()}


def _bound(area: str, path: str, version: int) -> bytes:
    """Return what is authenticated with a document without being hidden. Its parts cannot contain the separator."""
    return "\n".join((FORMAT, area, path, str(version))).encode()


def _key_bytes(key: Secret) -> bytes:
    try:
        plain = base64.b64decode(key.reveal().strip(), validate=True)
    except (binascii.Error, ValueError):
        plain = b""
    if len(plain) != 32:
        raise Misconfigured(
            "The key of the embedded store is not the base64 of 32 bytes",
            hint="Make one with: head -c 32 /dev/urandom | base64",
            code="store_key",
        )
    return plain


def damaged(shown: str, why: str) -> Broken:
    """Return the error for a file that is not what was written here."""
    return Broken(
        f"{shown} in the embedded store is damaged: {why}",
        hint="Keep the file and restore it from a backup; rotator does not touch it.",
        code="store_damaged",
    )


def wrong_key(shown: str) -> Misconfigured:
    """Return the error for what another key has sealed."""
    return Misconfigured(
        f"{shown} is sealed with another key than the one configured",
        hint="Give the key that the store was made with, or another path for a new store.",
        code="store_key",
    )
