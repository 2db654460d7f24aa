"""`read`: one field to a file or a stream, recorded first, in place whole or not at all."""

from __future__ import annotations

import grp
import io
import os
import stat
from pathlib import Path

import pytest

from rotator.app.reading import Read, ToFile, ToStream, read
from rotator.app.rotating import Wish, rotate
from rotator.app.usage import UsageFault
from rotator.errors import Denied, Refused, StateUnusable
from tests.fakes.app_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    with bench.house() as house:
        rotate(house, Wish())
    (tmp_path / "out").mkdir(mode=0o755)
    return bench


def written(bench: Bench, target: ToFile | ToStream, name: str = "one", field: str = "client_secret") -> Read:
    with bench.house() as house:
        return read(house, name, field, target)


def reads(bench: Bench) -> list[dict[str, object]]:
    with bench.house() as house:
        return [dict(one) for one in house.reader().audit() if one["event"] == "secret.read"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_field_lands_in_a_private_file_and_is_recorded_without_its_value(bench: Bench) -> None:
    path = bench.folder / "out/secret"
    found = written(bench, ToFile(path))
    assert path.read_text(encoding="utf-8") == bench.value_of("one").reveal()
    assert (mode(path), found.changed, found.version) == (0o600, True, 1)
    (record,) = reads(bench)
    assert (record["credential"], record["store_path"], record["store_version"]) == ("one", "partners/one", 1)
    assert record["detail"] == f"field client_secret to {path}"
    assert bench.value_of("one").reveal() not in repr(record)
    assert sorted(one.name for one in path.parent.iterdir()) == ["secret"]


def test_an_existing_file_is_replaced_with_its_mode(bench: Bench) -> None:
    path = bench.folder / "out/secret"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o640)
    before = path.stat().st_ino
    written(bench, ToFile(path))
    assert (mode(path), path.read_text(encoding="utf-8")) == (0o640, bench.value_of("one").reveal())
    assert path.stat().st_ino != before, "a reader of the old file keeps the old file"


def test_mode_and_group_can_be_given(bench: Bench) -> None:
    path, group = bench.folder / "out/secret", grp.getgrgid(os.getgid()).gr_name
    written(bench, ToFile(path, 0o440, group))
    assert (mode(path), path.stat().st_gid) == (0o440, os.getgid())


def test_a_file_that_has_the_value_is_left_alone_and_recorded_all_the_same(bench: Bench) -> None:
    path = bench.folder / "out/secret"
    written(bench, ToFile(path))
    before = path.stat().st_ino
    assert written(bench, ToFile(path)).changed is False
    assert path.stat().st_ino == before
    assert len(reads(bench)) == 2


def test_a_stream_gets_the_bytes_and_nothing_else(bench: Bench) -> None:
    stream = io.BytesIO()
    written(bench, ToStream(stream), field="key_id")
    assert stream.getvalue().decode() == bench.issuer.truth(bench.app("one"))[0].key_id
    assert reads(bench)[0]["detail"] == "field key_id to standard output"


def test_an_unknown_field_names_the_ones_there_are_and_is_no_read(bench: Bench) -> None:
    with pytest.raises(UsageFault, match='Did you mean "client_secret"') as caught:
        written(bench, ToStream(io.BytesIO()), field="client_secre")
    assert "expires_at" in caught.value.hint
    assert reads(bench) == []


def test_an_unknown_credential_or_group_is_a_fault_of_usage(bench: Bench) -> None:
    with pytest.raises(UsageFault):
        written(bench, ToStream(io.BytesIO()), name="three")
    with pytest.raises(UsageFault):
        written(bench, ToFile(bench.folder / "out/x", group="no-such-group"))


@pytest.mark.parametrize("place", ["missing/secret", "out", "out/link"])
def test_a_place_that_cannot_be_written_is_told_before_anything_is_recorded(bench: Bench, place: str) -> None:
    (bench.folder / "out/link").symlink_to("/etc/hostname")
    with pytest.raises(Refused) as caught:
        written(bench, ToFile(bench.folder / place))
    assert (caught.value.exit_status, caught.value.code) == (1, "target_unwritable")
    assert reads(bench) == []


@pytest.mark.parametrize("place", ["/sys/secret"])
def test_a_place_where_nobody_may_write_is_a_want_of_permission(bench: Bench, place: str) -> None:
    with pytest.raises(Denied) as caught:
        written(bench, ToFile(Path(place)))
    assert caught.value.exit_status == 77


def test_before_the_first_rotation_there_is_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        written(Bench(tmp_path), ToStream(io.BytesIO()))
    assert "rotator rotate one" in caught.value.hint


def test_what_cannot_be_recorded_is_not_handed_out(bench: Bench) -> None:
    database = bench.folder / "state/rotator.db"
    content = bytearray(database.read_bytes())
    content[100:4096] = b"\xff" * 3996
    database.write_bytes(content)
    stream, path = io.BytesIO(), bench.folder / "out/secret"
    for target in (ToStream(stream), ToFile(path)):
        with pytest.raises(StateUnusable):
            written(bench, target)
    assert stream.getvalue() == b""
    assert not path.exists()
