"""What the embedded store does with wrong keys, foreign files, unsafe folders and full disks."""

from __future__ import annotations

import base64
import errno
import os
import shutil
import stat
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.clock import ManualClock, SystemClock
from rotator.errors import Broken, Busy, Misconfigured, OutcomeUnknown, Transient
from rotator.finding import Severity
from rotator.secret import Fields, Secret
from rotator.stores.embedded import EmbeddedStore, new_key

CANARY = "canary-7f3a91-value"


def fields(text: str = CANARY) -> Fields:
    return Fields({"client_secret": Secret(text)})


@pytest.fixture
def key() -> Secret:
    return new_key()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "secrets"


@pytest.fixture
def store(folder: Path, key: Secret) -> EmbeddedStore:
    return EmbeddedStore(folder, key, SystemClock())


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_no_file_holds_a_value_or_a_field_name(folder: Path, store: EmbeddedStore) -> None:
    store.consumers.write("a/b", fields(), 0)
    store.staging.write("a", fields(), 0)
    content = b"".join(path.read_bytes() for path in files(folder))
    for trace in (CANARY.encode(), base64.b64encode(CANARY.encode())[:-2], CANARY.encode().hex().encode(), b"client_"):
        assert trace not in content


def test_each_sealing_has_a_nonce_of_its_own(folder: Path, store: EmbeddedStore) -> None:
    nonces = set()
    for version in range(50):
        store.consumers.write("a", fields(), version)
        nonces.add((folder / "consumers" / "a.sealed").read_bytes().partition(b"\n")[2][:12])
    assert len(nonces) == 50


def test_folders_are_for_the_owner_only_and_files_too_whatever_the_umask(folder: Path, store: EmbeddedStore) -> None:
    before = os.umask(0)
    try:
        store.consumers.write("a", fields(), 0)
    finally:
        os.umask(before)
    for path in [folder, *folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_reading_makes_nothing(folder: Path, store: EmbeddedStore) -> None:
    assert store.consumers.read("a").version == 0
    store.consumers.erase_before("a", 3)
    store.check(["a"])
    assert not folder.exists()


@pytest.mark.parametrize("text", ["", "short", "AAAA", "not base64!", base64.b64encode(b"x" * 31).decode()])
def test_a_key_that_is_not_32_bytes_in_base64_is_refused_without_being_shown(folder: Path, text: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        EmbeddedStore(folder, Secret(text), SystemClock())
    assert caught.value.code == "store_key"
    assert not text or text not in caught.value.message


def test_a_key_with_a_line_end_is_the_same_key(folder: Path, key: Secret, store: EmbeddedStore) -> None:
    store.consumers.write("a", fields(), 0)
    again = EmbeddedStore(folder, Secret(key.reveal() + "\n"), SystemClock())
    assert again.consumers.read("a").fields == fields()


def test_another_key_neither_reads_nor_writes_nor_loses_anything(folder: Path, store: EmbeddedStore) -> None:
    store.consumers.write("a", fields(), 0)
    before = {path: path.read_bytes() for path in files(folder)}
    other = EmbeddedStore(folder, new_key(), SystemClock())
    attempts: list[Callable[[], object]] = [
        lambda: other.consumers.read("a"),
        lambda: other.consumers.write("a", fields("new"), 1),
        lambda: other.consumers.write("never-written", fields("new"), 0),
        lambda: other.staging.write("never-written", fields("new"), 0),
        lambda: other.consumers.erase_before("a", 9),
    ]
    for attempt in attempts:
        with pytest.raises(Misconfigured) as caught:
            attempt()
        assert caught.value.code == "store_key"
    assert other.check(["a"])[0].outcome is Severity.FAIL
    assert {path: path.read_bytes() for path in files(folder) if path.name != "%lock"} == {
        path: content for path, content in before.items() if path.name != "%lock"
    }
    assert store.consumers.read("a").fields == fields()


def test_the_key_is_told_apart_even_when_the_mark_is_gone(folder: Path, store: EmbeddedStore) -> None:
    store.consumers.write("a", fields(), 0)
    (folder / "%store").unlink()
    with pytest.raises(Misconfigured) as caught:
        EmbeddedStore(folder, new_key(), SystemClock()).consumers.read("a")
    assert caught.value.code == "store_key"


def cut_to(length: int) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(file.read_bytes()[:length])


def flip(position: int) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[position] ^= 1
        file.write_bytes(bytes(content))

    return change


def become_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def become_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def renumber(file: Path) -> None:
    head, _, rest = file.read_bytes().partition(b"\n")
    file.write_bytes(head.rpartition(b" ")[0] + b" 9\n" + rest)


@pytest.mark.parametrize(
    "damage",
    [
        cut_to(0),
        cut_to(10),
        cut_to(37),
        cut_to(45),
        cut_to(-1),
        flip(-1),
        flip(45),
        flip(0),
        renumber,
        lambda file: file.write_bytes(b"something else\n" * 100),
        become_a_folder,
        become_a_pipe,
    ],
)
def test_a_damaged_or_foreign_file_is_named_and_left_alone(
    folder: Path, store: EmbeddedStore, damage: Callable[[Path], object]
) -> None:
    store.consumers.write("a", fields(), 0)
    store.consumers.write("b", fields("other"), 0)
    file = folder / "consumers" / "a.sealed"
    damage(file)
    left = file.read_bytes() if file.is_file() else None
    attempts: list[Callable[[], object]] = [
        lambda: store.consumers.read("a"),
        lambda: store.consumers.write("a", fields("new"), 0),
        lambda: store.consumers.write("a", fields("new"), 1),
        lambda: store.consumers.erase_before("a", 2),
        lambda: store.consumers.history("a"),
    ]
    for attempt in attempts:
        with pytest.raises(Broken) as caught:
            attempt()
        assert caught.value.code == "store_damaged"
        assert "consumers/a" in caught.value.message and CANARY not in caught.value.message
    assert left is None or file.read_bytes() == left
    assert store.consumers.read("b").fields == fields("other")


@pytest.mark.parametrize(("target", "number"), [("consumers/b.sealed", "b"), ("staging/a.sealed", "a")])
def test_a_file_put_in_the_place_of_another_is_noticed(
    folder: Path, store: EmbeddedStore, target: str, number: str
) -> None:
    store.consumers.write("a", fields(), 0)
    store.consumers.write("b", fields("other"), 0)
    store.staging.write("a", fields("staged"), 0)
    shutil.copy(folder / "consumers" / "a.sealed", folder / target)
    area = store.consumers if target.startswith("consumers") else store.staging
    with pytest.raises(Broken):
        area.read(number)


def test_symbolic_links_are_refused_at_every_level(folder: Path, store: EmbeddedStore, tmp_path: Path) -> None:
    store.consumers.write("a", fields(), 0)
    document = folder / "consumers" / "a.sealed"
    elsewhere = tmp_path / "elsewhere"
    for victim in (document, folder / "consumers", folder / "%store", folder):
        victim.rename(elsewhere)
        victim.symlink_to(elsewhere)
        with pytest.raises(Misconfigured) as caught:
            store.consumers.read("a")
        assert caught.value.code == "store_folder"
        victim.unlink()
        elsewhere.rename(victim)
    assert store.consumers.read("a").fields == fields()


def test_a_link_in_the_place_of_the_spare_file_is_not_written_through(
    folder: Path, store: EmbeddedStore, tmp_path: Path
) -> None:
    store.consumers.write("a", fields(), 0)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder / "consumers" / "%new").symlink_to(victim)
    with pytest.raises(Misconfigured):
        store.consumers.write("a", fields("new"), 1)
    assert victim.read_text() == "precious"
    assert store.consumers.read("a").version == 1


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_can_write_is_refused(folder: Path, store: EmbeddedStore, mode: int) -> None:
    store.consumers.write("a", fields(), 0)
    folder.chmod(mode)
    with pytest.raises(Misconfigured) as caught:
        store.consumers.read("a")
    assert "chmod 700" in caught.value.hint


def test_a_folder_that_others_can_list_is_worth_a_warning(folder: Path, store: EmbeddedStore) -> None:
    store.consumers.write("a", fields(), 0)
    folder.chmod(0o755)
    assert [finding.outcome for finding in store.check(["a"])] == [Severity.OK, Severity.WARN]


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.ENOSPC, Transient), (errno.EIO, Transient), (errno.EROFS, Misconfigured)]
)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_the_new_file_leaves_the_old_one(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception], call: str
) -> None:
    store.consumers.write("a", fields("old"), 0)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, refuse)
        with pytest.raises(kind) as caught:
            store.consumers.write("a", fields(), 1)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert CANARY not in str(caught.value)
    assert store.consumers.read("a").fields == fields("old")
    assert store.consumers.write("a", fields("next"), 1).version == 2


def test_a_folder_that_cannot_be_synchronised_leaves_the_outcome_unknown(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.consumers.write("a", fields("old"), 0)
    sync = os.fsync

    def refuse_folders(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        sync(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse_folders)
        with pytest.raises(OutcomeUnknown):
            store.consumers.write("a", fields(), 1)
    assert store.consumers.read("a").version == 2


def test_the_file_is_on_the_disk_before_it_gets_its_name_and_the_name_before_the_write_returns(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.consumers.write("a", fields("old"), 0)
    seen: list[str] = []
    sync, replace = os.fsync, os.replace

    def note_sync(handle: int) -> None:
        seen.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def note_replace(*args: object, **kwargs: object) -> None:
        seen.append("name")
        replace(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    store.consumers.write("a", fields(), 1)
    assert seen == ["file", "name", "folder"]


def test_a_lock_that_is_not_freed_is_busy_after_ten_seconds(folder: Path, key: Secret) -> None:
    import fcntl

    clock = ManualClock()
    store = EmbeddedStore(folder, key, clock)
    store.consumers.write("a", fields(), 0)
    start = clock.now()
    with (folder / "consumers" / "%lock").open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(Busy):
            store.consumers.write("a", fields("new"), 1)
        assert clock.now() - start == timedelta(seconds=10)
        assert store.consumers.read("a").fields == fields()  # readers wait for nobody
    assert store.consumers.write("a", fields("new"), 1).version == 2


def test_a_reader_among_writers_sees_whole_documents_only(store: EmbeddedStore) -> None:
    store.consumers.write("a", Fields({"x": "0", "y": "0"}), 0)
    done = threading.Event()

    def write() -> None:
        for number in range(1, 60):
            store.consumers.write("a", Fields({"x": str(number), "y": str(number)}), number)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    last = 0
    while not done.is_set():
        seen = store.consumers.read("a")
        assert seen.fields is not None and seen.fields.text("x") == seen.fields.text("y")
        assert seen.version >= last
        last = seen.version
    writer.join()


def test_what_a_killed_writer_left_behind_is_written_over(folder: Path, store: EmbeddedStore) -> None:
    store.consumers.write("a", fields(), 0)
    (folder / "consumers" / "%new").write_bytes(b"half a file " * 10_000)
    store.consumers.write("a", fields("new"), 1)
    assert store.consumers.read("a").fields == fields("new")
    assert not (folder / "consumers" / "%new").exists()
