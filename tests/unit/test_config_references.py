"""A reference names a secret; the value is fetched at use, whole, and every failure says where it was named."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from rotator.app.config import Reference, Resolver, Scheme
from rotator.app.config.references import MAX_BYTES, parse_reference
from rotator.app.config.values import Wrong
from rotator.errors import Misconfigured
from rotator.finding import Severity
from rotator.secret import Secret
from tests.fakes.config_files import document, loaded

BASE = Path("/etc/rotator")


@pytest.mark.parametrize(("written", "meant", "shown"), [
    ("env:NAME", Reference(Scheme.ENV, "NAME"), "env:NAME"),
    ("file:/a/b", Reference(Scheme.FILE, "/a/b"), "file:/a/b"),
    ("file:b", Reference(Scheme.FILE, "/etc/rotator/b"), "file:/etc/rotator/b"),
    ("cred:vault-secret-id", Reference(Scheme.CRED, "vault-secret-id"), "cred:vault-secret-id"),
    ("vault:main/a/b#c", Reference(Scheme.VAULT, "a/b", "main", "c"), "vault:main/a/b#c"),
])  # fmt: skip
def test_a_reference_is_read_and_shown(written: str, meant: Reference, shown: str) -> None:
    found = parse_reference(written, BASE)
    assert (found, str(found), found.written) == (meant, shown, written)


@pytest.mark.parametrize("written", [
    "", "x", "env", "env:", "env:A-B", "env:1", "ENV:A", "file:", "file:  ", "file:~/x", "cred:", "cred:a/b", "cred:..",
    "cred:.a", "vault:", "vault:main", "vault:main/a", "vault:main#f", "vault:main/#f", "vault:main/a#",
    "vault:Main/a#f",
    "vault:main/../a#f", "http://x", 1, None, ["env:A"],
])  # fmt: skip
def test_anything_else_is_refused_without_repeating_it(written: object) -> None:
    with pytest.raises(Wrong) as caught:
        parse_reference(written, BASE)
    assert not isinstance(written, str) or len(written) < 7 or written not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(("content", "value"), [
    (b"v", "v"), (b"v\n", "v"), (b"v\r\n", "v"), (b"v\n\n", "v\n"), (b" v ", " v "), (b"v\r", "v\r"),
    ("ü".encode(), "ü"),
])  # fmt: skip
def test_one_newline_at_the_end_of_a_file_is_not_part_of_the_secret(tmp_path: Path, content: bytes, value: str) -> None:
    (tmp_path / "s").write_bytes(content)
    assert Resolver({}).resolve(parse_reference("file:s", tmp_path)).matches(Secret(value))
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert Resolver(environ).resolve(parse_reference("cred:s", tmp_path)).matches(Secret(value))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"\n", "the file is empty"),
        (b"x" * (MAX_BYTES + 1), "longer than 64 KiB"),
        (b"CANARY\xff", "not UTF-8"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(Misconfigured, match=words) as caught:
        Resolver({}).resolve(parse_reference("file:s", tmp_path))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "CANARY" not in caught.value.message + caught.value.hint


def test_a_pipe_or_a_folder_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(Misconfigured, match="not a regular file"):
            Resolver({}).resolve(Reference(Scheme.FILE, str(tmp_path / name)))
    with pytest.raises(Misconfigured, match="No such file"):
        Resolver({}).resolve(Reference(Scheme.FILE, str(tmp_path / "none")))


def test_a_variable_is_read_at_use(tmp_path: Path) -> None:
    environ = {"A": "one", "EMPTY": ""}
    resolver = Resolver(environ)
    assert resolver.resolve(Reference(Scheme.ENV, "A")).matches(Secret("one"))
    environ["A"] = "two"
    assert resolver.resolve(Reference(Scheme.ENV, "A")).matches(Secret("two"))
    with pytest.raises(Misconfigured, match="env:EMPTY: the environment variable is empty"):
        resolver.resolve(Reference(Scheme.ENV, "EMPTY"))
    with pytest.raises(Misconfigured, match="env:B: the environment variable is not set"):
        resolver.resolve(Reference(Scheme.ENV, "B"))


def test_a_credential_outside_its_unit_prints_the_line_that_provides_it() -> None:
    resolver = Resolver({}, credentials=["vault-secret-id", "store-key"], argv=["rotator", "rotate", "--now", "a b"])
    with pytest.raises(Misconfigured) as caught:
        resolver.resolve(Reference(Scheme.CRED, "store-key"))
    assert caught.value.exit_status == 78
    assert caught.value.hint.endswith(
        "systemd-run --uid=rotator --pipe --wait --collect "
        "--property=LoadCredentialEncrypted=vault-secret-id:/etc/credstore.encrypted/rotator.vault-secret-id "
        "--property=LoadCredentialEncrypted=store-key:/etc/credstore.encrypted/rotator.store-key "
        "rotator rotate --now 'a b'"
    )


def test_a_credential_that_the_unit_does_not_have_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read") as caught:
        Resolver({"CREDENTIALS_DIRECTORY": str(tmp_path)}).resolve(Reference(Scheme.CRED, "x"))
    assert "LoadCredentialEncrypted=x:PATH" in caught.value.hint


def test_a_vault_reference_is_read_by_whoever_has_the_stores() -> None:
    reference = parse_reference("vault:main/a#f", BASE)
    seen: list[Reference] = []

    def read(asked: Reference) -> Secret:
        seen.append(asked)
        return Secret("v")

    assert Resolver({}, vault=read).resolve(reference).matches(Secret("v"))
    assert seen == [reference]
    with pytest.raises(Misconfigured, match="no store can be read here"):
        Resolver({}).resolve(reference)


def test_a_missing_secret_names_the_place_in_the_configuration(tmp_path: Path) -> None:
    result = loaded(tmp_path, document())
    reference = dict(result.config.references())["stores.vault.auth.role_id"]
    with pytest.raises(Misconfigured) as caught:
        result.resolver({}).resolve(reference)
    assert caught.value.message == (
        f"{tmp_path}/config.yaml:6:38: file:{tmp_path}/role-id: cannot be read: No such file or directory."
    )
    with pytest.raises(Misconfigured, match=r"config\.yaml:6:65: cred:vault-secret-id: systemd credentials"):
        result.resolver({}).resolve(dict(result.config.references())["stores.vault.auth.secret_id"])


# ------------------------------------------------------------------------------------------------------------ making


def test_a_file_is_made_once_private_and_whole(tmp_path: Path) -> None:
    reference = parse_reference("file:new/folder/key", tmp_path)
    made: list[bytes] = []

    def make() -> bytes:
        made.append(f"key-{len(made)}\n".encode())
        return made[-1]

    resolver = Resolver({})
    assert resolver.resolve_or_create(reference, make).matches(Secret("key-0"))
    assert resolver.resolve_or_create(reference, make).matches(Secret("key-0"))
    assert made == [b"key-0\n"]
    assert stat.S_IMODE(reference.path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new" / "folder").stat().st_mode) == 0o700
    assert [path.name for path in reference.path.parent.iterdir()] == ["key"]


def test_two_that_make_a_file_at_once_get_the_same(tmp_path: Path) -> None:
    reference = parse_reference("file:d/key", tmp_path)
    together = threading.Barrier(8)
    results: list[Secret] = []

    def run(number: int) -> None:
        def make() -> bytes:
            together.wait(10)
            return f"key-{number}".encode()

        results.append(Resolver({}).resolve_or_create(reference, make))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(results) == 8
    assert all(result.matches(results[0]) for result in results)


def test_a_link_that_leads_nowhere_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "gone")
    with pytest.raises(Misconfigured, match="cannot be read"):
        Resolver({}).resolve_or_create(parse_reference("file:key", tmp_path), lambda: b"x")
    assert not (tmp_path / "gone").exists()


def test_only_files_are_made() -> None:
    with pytest.raises(Misconfigured, match="is not set"):
        Resolver({}).resolve_or_create(Reference(Scheme.ENV, "A"), lambda: b"x")


def test_a_file_that_cannot_be_made_is_a_clear_fault(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x", encoding="utf-8")
    with pytest.raises(Misconfigured, match="cannot be made: Not a directory"):
        Resolver({}).resolve_or_create(parse_reference("file:plain/key", tmp_path), lambda: b"x")


# ---------------------------------------------------------------------------------------------------------- checking


@pytest.mark.parametrize(("mode", "outcome"), [
    (0o600, Severity.OK), (0o640, Severity.OK), (0o644, Severity.WARN), (0o602, Severity.WARN),
])  # fmt: skip
def test_a_file_that_everybody_may_read_is_a_warning(tmp_path: Path, mode: int, outcome: Severity) -> None:
    (tmp_path / "s").write_text("CANARY", encoding="utf-8")
    (tmp_path / "s").chmod(mode)
    finding = Resolver({}).check(parse_reference("file:s", tmp_path), "vault")
    assert finding.outcome is outcome
    assert "CANARY" not in repr(finding)


def test_a_missing_secret_is_a_finding_with_its_exit_status() -> None:
    finding = Resolver({}).check(Reference(Scheme.ENV, "A"), "vault")
    assert (finding.outcome, finding.exit_status, finding.subject) == (Severity.FAIL, 78, "vault")
    assert Resolver({}).check(parse_reference("vault:s/a#f", BASE), "x").outcome is Severity.SKIP
