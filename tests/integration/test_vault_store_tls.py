"""Whom the Vault store trusts, and how it shows a client certificate without putting its key on a disk."""

from __future__ import annotations

import ipaddress
import ssl
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rotator.clock import ManualClock, SystemClock
from rotator.errors import Misconfigured
from rotator.secret import Secret
from rotator.stores.vault import VaultStore
from rotator.stores.vault_settings import CertAuth, TokenAuth, VaultSettings
from tests.fakes.scripted_vault import ScriptedVault

PATH = "partners/a"


@dataclass
class Authority:
    """A CA of our own."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        builder = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return cls(key, builder.sign(key, hashes.SHA256()))

    def issue(self, name: str, address: str = "127.0.0.1") -> tuple[str, str]:
        """Return certificate and key, PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        made = _builder(subject, self.certificate.subject, key).add_extension(names, critical=False)
        return pem(made.sign(self.key, hashes.SHA256())), key_pem(key)

    def file(self, folder: Path) -> Path:
        path = folder / "ca.pem"
        path.write_text(pem(self.certificate))
        return path


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
    )


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> str:
    hidden: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        hidden = serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden).decode()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.new()


@contextmanager
def serving(authority: Authority, folder: Path, address: str = "127.0.0.1") -> Iterator[ScriptedVault]:
    """Run a server that asks for a client certificate of the same authority, and takes none as well."""
    certificate, key = authority.issue("server", address)
    (folder / "server.pem").write_text(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    context.load_verify_locations(authority.file(folder))
    context.verify_mode = ssl.CERT_OPTIONAL
    server = ScriptedVault(context)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def vault(authority: Authority, tmp_path: Path) -> Iterator[ScriptedVault]:
    with serving(authority, tmp_path) as server:
        yield server


def settings(vault: ScriptedVault, ca_file: Path | None) -> VaultSettings:
    given = TokenAuth(lambda: Secret("given"))
    return VaultSettings("vault", vault.address, "kv", "rotator", given, ca_file=ca_file)


def test_the_configured_authority_is_trusted(vault: ScriptedVault, tmp_path: Path) -> None:
    assert VaultStore(settings(vault, tmp_path / "ca.pem"), SystemClock()).consumers.read(PATH).version == 0


def test_no_other_authority_is_trusted_and_no_token_is_sent(
    vault: ScriptedVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Authority.new()
    (tmp_path / "other").mkdir()
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "VAULT_CACERT", "VAULT_SKIP_VERIFY"):
        monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    for ca_file in (None, other.file(tmp_path / "other")):
        with pytest.raises(Misconfigured) as caught:
            VaultStore(settings(vault, ca_file), SystemClock()).consumers.read(PATH)
        assert caught.value.code == "certificate_not_trusted" and "ca_file" in caught.value.hint
    assert vault.asked == []


def test_a_ca_file_replaces_the_public_authorities(vault: ScriptedVault, tmp_path: Path) -> None:
    store = VaultStore(settings(vault, tmp_path / "ca.pem"), SystemClock())
    store.consumers.read(PATH)
    trusted = store._session._wire._requests.get_adapter(vault.address)._trust  # type: ignore[attr-defined]
    assert len(trusted.get_ca_certs()) == 1


def test_a_certificate_for_another_address_is_not_trusted(authority: Authority, tmp_path: Path) -> None:
    with serving(authority, tmp_path, "127.0.0.2") as server, pytest.raises(Misconfigured) as caught:
        VaultStore(settings(server, tmp_path / "ca.pem"), SystemClock()).consumers.read(PATH)
    assert caught.value.code == "certificate_not_trusted"
    assert server.asked == []


@pytest.mark.parametrize(
    "make", [lambda path: None, lambda path: path.write_text("no certificate"), lambda path: path.mkdir()]
)
def test_a_ca_file_that_cannot_be_used_is_named(
    vault: ScriptedVault, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    file = tmp_path / "bad.pem"
    make(file)
    with pytest.raises(Misconfigured) as caught:
        VaultStore(settings(vault, file), SystemClock())
    assert caught.value.code == "ca_file" and str(file) in caught.value.message


def test_the_keys_of_the_connection_are_not_logged_to_a_file(
    vault: ScriptedVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    VaultStore(settings(vault, tmp_path / "ca.pem"), SystemClock()).consumers.read(PATH)
    assert not (tmp_path / "keys").exists()


def test_a_client_certificate_is_shown_and_read_again_at_each_login(
    authority: Authority, vault: ScriptedVault, tmp_path: Path
) -> None:
    pairs = [authority.issue("first"), authority.issue("second")]
    auth = CertAuth(lambda: Secret(pairs[0][0]), lambda: Secret(pairs[0][1]), "rotator")
    clock = ManualClock(datetime.now(UTC))
    store = VaultStore(replace(settings(vault, tmp_path / "ca.pem"), auth=auth), clock)
    store.consumers.read(PATH)
    del pairs[0]
    clock.advance(timedelta(hours=2))
    store.consumers.read(PATH)
    shown = [ask.client for ask in vault.asked if ask.path == "auth/cert/login"]
    assert ["first" in shown[0], "second" in shown[1]] == [True, True]
    assert [ask.body for ask in vault.asked if ask.path == "auth/cert/login"] == [{"name": "rotator"}] * 2
    assert all("second" in ask.client for ask in vault.asked[-2:])


def test_a_client_key_that_cannot_be_used_is_a_fault_here_and_is_not_shown(
    authority: Authority, vault: ScriptedVault, tmp_path: Path
) -> None:
    certificate, _ = authority.issue("client")
    stranger = ec.generate_private_key(ec.SECP256R1())
    for key in (key_pem(stranger), key_pem(stranger, b"passphrase"), "no key", ""):
        auth = CertAuth(lambda: Secret(certificate), lambda key=key: Secret(key), "rotator")  # type: ignore[misc]
        store = VaultStore(replace(settings(vault, tmp_path / "ca.pem"), auth=auth), SystemClock())
        with pytest.raises(Misconfigured) as caught:
            store.consumers.read(PATH)
        assert caught.value.code == "client_certificate"
        assert "BEGIN" not in "".join(traceback.format_exception(caught.value))
    assert vault.asked == []
