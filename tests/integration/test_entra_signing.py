"""A certificate authority signs what was made here: by a real program, over a pipe; the key never leaves."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rotator.errors import Misconfigured, Refused, RotatorError, Transient
from rotator.finding import Severity
from rotator.ports import Answer, Issued
from rotator.providers.entra import EntraProvider
from rotator.providers.entra_keys import make_pair
from rotator.providers.entra_settings import Signing
from rotator.sandbox.keys import WrittenKey
from rotator.sandbox.weather import Route, Weather
from tests.integration.entra_bench import APP, DAYS, TAG, EntraBench, entra_bench, proved

NAMED = f"certificate:{APP}"
PATIENCE = timedelta(seconds=20)
AUTHORITY = '''#!{python}
"""Signs the request on standard input as a small authority would, and prints the chain."""
import datetime, os, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

here = {here!r}
ca = x509.load_pem_x509_certificate(open(here + "/ca.pem", "rb").read())
key = load_pem_private_key(open(here + "/ca.key", "rb").read(), None)
request = x509.load_pem_x509_csr(sys.stdin.buffer.read())
assert request.is_signature_valid
now = datetime.datetime.now(datetime.UTC)
ends = now + datetime.timedelta(seconds=int(os.environ["ROTATOR_LIFETIME_SECONDS"]))
builder = (
    x509.CertificateBuilder().subject_name(request.subject).issuer_name(ca.subject).public_key(request.public_key())
    .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(minutes=10))
    .not_valid_after(ends)
)
for one in request.extensions:
    if {label} or not isinstance(one.value, x509.SubjectAlternativeName):
        builder = builder.add_extension(one.value, one.critical)
open(here + "/seen", "w").write(" ".join(sorted(os.environ)) + " " + " ".join(sys.argv[1:]))
for one in {order}:
    sys.stdout.write(one.public_bytes(Encoding.PEM).decode())
'''


@dataclass
class Authority:
    """A small certificate authority: its certificate, and the program that it is asked by."""

    folder: Path
    certificate: x509.Certificate

    def program(self, *, label: bool = True, order: str = "(builder.sign(key, hashes.SHA256()), ca)") -> Signing:
        """Write the program, and return how it is run."""
        path = self.folder / "sign"
        whole = AUTHORITY.format(python=sys.executable, here=str(self.folder), label=label, order=order)
        path.write_text(whole, encoding="utf-8")
        path.chmod(0o755)
        return Signing((str(path), "--profile", "client"), PATIENCE)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[EntraBench]:
    with entra_bench(tmp_path / "sandbox") as made:
        yield made


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder, key = tmp_path_factory.mktemp("authority"), rsa.generate_private_key(65537, 2048)
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example CA")]), datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    dated = builder.serial_number(1).not_valid_before(now - DAYS).not_valid_after(now + 10 * DAYS)
    ca = dated.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(key, hashes.SHA256())
    (folder / "ca.pem").write_bytes(ca.public_bytes(Encoding.PEM))
    (folder / "ca.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Authority(folder, ca)


def chain(issued: Issued) -> list[x509.Certificate]:
    text = issued.values.secret("certificate")
    assert text is not None
    return x509.load_pem_x509_certificates(text.reveal().encode())


def made_by(bench: EntraBench, signing: Signing, tag: str = TAG, held: Issued | None = None) -> Issued:
    provider = bench.another(signing=signing)
    provider.prove_with(lambda application: held.values if held is not None else None)
    try:
        return provider.create(NAMED, tag, DAYS)
    finally:
        provider.close()


def test_the_authority_signs_what_was_made_here_and_consumers_get_the_chain(
    bench: EntraBench, authority: Authority
) -> None:
    issued = made_by(bench, authority.program())
    ours, above = chain(issued)
    ours.verify_directly_issued_by(authority.certificate)
    assert above == authority.certificate
    assert ours.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value == x509.ExtendedKeyUsage(
        [ExtendedKeyUsageOID.CLIENT_AUTH]
    )
    key = issued.values.secret("private_key")
    assert key is not None
    assert load_pem_private_key(key.reveal().encode(), None).public_key() == ours.public_key()
    (held,) = bench.sandbox.keys.live(APP)
    assert base64.b64decode(held.der) == ours.public_bytes(Encoding.DER), "Entra is given ours alone"
    assert issued.version.expires_at == ours.not_valid_after_utc
    assert proved(bench, issued.values) is Answer.PROVED
    seen = (authority.folder / "seen").read_text()
    assert seen.split() == ["LANG", "PATH", "ROTATOR_LIFETIME_SECONDS", "--profile", "client"], "and nothing of ours"


@pytest.mark.parametrize("label", [True, False])
def test_the_label_is_found_again_whether_the_authority_keeps_it_or_not(
    bench: EntraBench, authority: Authority, label: bool
) -> None:
    signing = authority.program(label=label)
    first = made_by(bench, signing)
    second = made_by(bench, signing, f"{TAG}2", first)
    assert proved(bench, second.values) is Answer.PROVED
    writes = (Route.ADD_KEY, Route.UPDATE_APPLICATION)
    seen = [one.route for one in bench.sandbox.directory.requests(APP) if one.route in writes]
    assert seen == ["update_application", "add_key" if label else "update_application"]
    assert {one.tag for one in bench.provider.list(NAMED).versions} == {TAG, f"{TAG}2"}


def test_ours_is_found_wherever_it_stands_among_what_is_printed(bench: EntraBench, authority: Authority) -> None:
    issued = made_by(bench, authority.program(order="(ca, builder.sign(key, hashes.SHA256()))"))
    assert chain(issued)[1] == authority.certificate
    assert proved(bench, issued.values) is Answer.PROVED


BAD = {
    "it is not there": (None, Misconfigured, "cannot be run: No such file or directory"),
    "it fails": ("#!/bin/sh\ncat > /dev/null; echo no; exit 3\n", Transient, "ended with 3"),
    "it never ends": (
        "#!/bin/sh\nsleep 60 & echo $! > {here}/pid; exec sleep 9\n",
        Transient,
        "had not ended after 2 s",
    ),
    "it floods": ("#!/bin/sh\necho $$ > {here}/pid; exec cat /dev/zero\n", Transient, "had not ended after 2 s"),
    "it does not read": ("#!/bin/sh\nexec 0<&-; exit 0\n", Refused, "printed is no certificate in PEM"),
    "it prints the request": ("#!/bin/sh\nexec cat\n", Refused, "printed is no certificate in PEM"),
    "it prints nothing": ("#!/bin/sh\nexec cat > /dev/null\n", Refused, "printed is no certificate in PEM"),
    "another key": ("#!/bin/sh\ncat > /dev/null; exec cat {here}/ca.pem\n", Refused, "certifies another key"),
}


@pytest.mark.parametrize("why", BAD)
def test_what_goes_wrong_is_told_apart_and_nothing_is_sent_to_entra(
    bench: EntraBench, authority: Authority, why: str
) -> None:
    text, kind, words = BAD[why]
    path = authority.folder / f"bad-{why.replace(' ', '-')}"
    if text is not None:
        path.write_text(text.replace("{here}", str(authority.folder)), encoding="utf-8")
        path.chmod(0o755)
    with pytest.raises(RotatorError, match=words) as caught:
        made_by(bench, Signing((str(path),), timedelta(seconds=2)))
    assert type(caught.value) is kind
    assert not bench.sandbox.keys.live(APP) and not bench.seen(Route.UPDATE_APPLICATION)
    if "{here}/pid" in (text or ""):
        pid = int((authority.folder / "pid").read_text())
        assert not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes(), "it is gone"


def test_one_that_has_ended_is_refused(bench: EntraBench, authority: Authority) -> None:
    signing = authority.program()
    provider: EntraProvider = bench.another(signing=signing)
    try:
        with pytest.raises(Refused, match="is a certificate that has ended"):
            provider.create(NAMED, TAG, timedelta(seconds=0))
    finally:
        provider.close()


def test_check_says_whether_the_program_can_be_run(bench: EntraBench, authority: Authority) -> None:
    for signing, outcome in ((authority.program(), Severity.OK), (Signing(("/no/such",), PATIENCE), Severity.FAIL)):
        provider = bench.another(signing=signing)
        found = provider.check(NAMED, DAYS, "kontrolle-cert", "rotator/i/kontrolle-cert/")
        provider.close()
        (told,) = [one for one in found if signing.command[0] in one.message]
        assert told.outcome is outcome, found


@pytest.mark.parametrize("act", ["create", "retire"])
def test_a_certificate_dated_back_by_its_authority_is_not_written_away_by_lists_that_lack_it(
    bench: EntraBench, authority: Authority, act: str
) -> None:
    """An authority begins a validity some minutes ago, so that clocks may differ; to us it is as new as its answer."""
    sandbox, signing = bench.sandbox, authority.program(label=False)
    issued = made_by(bench, signing)
    now = sandbox.directory.now()
    theirs = sandbox.keys.put(APP, WrittenKey(None, make_pair("t", "x/y/z", now - DAYS, now + DAYS).certificate, "t"))
    ours, other = sandbox.keys.dump()  # theirs was there long before
    sandbox.keys.load([ours, other | {"created_at": (now - DAYS).isoformat()}])
    sandbox.set_weather(Weather.calm().but(stale_list=timedelta(hours=1)))
    provider = bench.another(signing=signing)  # as after a restart: it remembers nothing
    provider.prove_with(lambda _: issued.values)
    with pytest.raises(Transient) as caught:
        if act == "create":
            provider.create(NAMED, f"{TAG}2", DAYS)
        else:
            provider.retire(NAMED, theirs.key_id)
    provider.close()
    assert caught.value.code == "replication_lag"
    assert issued.version.key_id in {one.key_id for one in sandbox.keys.live(APP)}, "what consumers read was removed"
