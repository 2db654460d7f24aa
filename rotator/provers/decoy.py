"""Makes values that look right and that no issuer knows, so that a proof can be seen to fail. Contacts nobody."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from rotator.provers.request import ClientAuth
from rotator.secret import Fields, Secret


def decoy(client_auth: ClientAuth, now: datetime) -> Fields:
    """Return a random secret; where a certificate is asked for, one made here and now, with its key."""
    if client_auth is not ClientAuth.PRIVATE_KEY_JWT:
        return Fields({"client_secret": Secret(secrets.token_urlsafe(30))})
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "decoy")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Fields({"certificate": certificate.public_bytes(Encoding.PEM).decode(), "private_key": Secret(pem)})
