"""Signs checkpoints and seals with Ed25519 (RFC 8032), and checks signatures. Decides nothing about whom to trust."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from rotator.errors import Misconfigured
from rotator.seals import Checkpoint, Seal, T, signed_text

_BYTES: Final = 32


def new_key() -> bytes:
    """Return a fresh key as PKCS#8 PEM."""
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Signer:
    """One private key. Its repr shows the public half only."""

    def __init__(self, reveal: Callable[[], str]) -> None:
        """reveal: yields the key, as PKCS#8 PEM or base64 of 32 bytes. Raises Misconfigured for anything else."""
        self._key = _private(reveal)
        raw = self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.public = base64.b64encode(raw).decode()

    def __repr__(self) -> str:
        return f"Signer(public={self.public!r})"

    def signed(self, said: T) -> T:
        """Return it with our public key and a signature."""
        named = replace(said, key=self.public, signature="")
        return replace(named, signature=base64.b64encode(self._key.sign(signed_text(named))).decode())


def is_signed(said: Checkpoint | Seal) -> bool:
    """Say whether the signature was made with the key that it names."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(said.key, validate=True))
        key.verify(base64.b64decode(said.signature, validate=True), signed_text(said))
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def _private(reveal: Callable[[], str]) -> Ed25519PrivateKey:
    wrong = Misconfigured(
        "audit.signing_key is no Ed25519 key.",
        hint="It is PKCS#8 PEM (openssl genpkey -algorithm ed25519) or 32 bytes in base64; "
        "a `file:` that does not exist is made.",
        code="signing_key_wrong",
    )
    try:
        text = reveal().strip()
        if text.startswith("-----BEGIN"):
            key = serialization.load_pem_private_key(text.encode(), password=None)
            if isinstance(key, Ed25519PrivateKey):
                return key
        elif len(raw := base64.b64decode(text, validate=True)) == _BYTES:
            return Ed25519PrivateKey.from_private_bytes(raw)
    except Exception:  # noqa: BLE001  what a parser says of a key may repeat parts of it
        raise wrong from None
    raise wrong
