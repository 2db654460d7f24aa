"""Many at once at one document of a store; a part of the suite in `stores`."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from rotator.errors import WriteConflict
from rotator.ports import Documents
from rotator.secret import Fields, Secret

PATH: Final = "partners/kontrolle-plus/prod"


def fields(text: str = "s3cret", **others: str) -> Fields:
    return Fields({"client_id": "c-1", "client_secret": Secret(text), **others})


def test_of_32_parallel_writers_of_a_new_document_exactly_one_wins(documents: Documents) -> None:
    assert len(race(documents, expected=0)) == 1


def test_of_32_parallel_writers_of_the_next_version_exactly_one_wins(documents: Documents) -> None:
    documents.write(PATH, fields("base"), expected=0)
    winners = race(documents, expected=1)
    assert len(winners) == 1
    assert documents.read(PATH).fields == fields(f"writer-{winners[0]}")
    assert documents.read(PATH).version == 2


def race(documents: Documents, expected: int) -> list[int]:
    """Let 32 writers start together; return the numbers of those that were told that they won."""
    start = threading.Barrier(32)

    def attempt(number: int) -> int | None:
        start.wait()
        try:
            documents.write(PATH, fields(f"writer-{number}"), expected)
        except WriteConflict:
            return None
        return number

    with ThreadPoolExecutor(32) as pool:
        return [number for number in pool.map(attempt, range(32)) if number is not None]


def test_who_reads_while_it_is_written_sees_one_version_as_a_whole(documents: Documents) -> None:
    documents.write(PATH, fields("value-1", twice="value-1"), expected=0)
    over = threading.Event()

    def look() -> None:
        last = 0
        while not over.is_set():
            seen = documents.read(PATH)
            assert seen.fields == fields(f"value-{seen.version}", twice=f"value-{seen.version}")
            assert seen.version >= last
            last = seen.version

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(look) for _ in range(2)]
        try:
            for number in range(2, 22):
                documents.write(PATH, fields(f"value-{number}", twice=f"value-{number}"), expected=number - 1)
        finally:
            over.set()
        for reader in readers:
            reader.result()
