"""A process that writes to the embedded store is killed again and again; what it was told is kept, nothing is torn."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from rotator.clock import SystemClock
from rotator.secret import Fields, Secret
from rotator.stores.embedded import EmbeddedStore, new_key

KILLS = 40
WRITER = """
import sys
from pathlib import Path
from rotator.clock import SystemClock
from rotator.secret import Fields, Secret
from rotator.stores.embedded import EmbeddedStore

key, folder = Secret(sys.stdin.readline()), Path(sys.argv[1])
store = EmbeddedStore(folder, key, SystemClock())
version = store.consumers.read("a/b").version
while True:
    for documents in (store.staging, store.consumers):
        assert documents.read("a/b").version in (version, version + 1)
        documents.write("a/b", Fields({"n": str(version + 1), "again": str(version + 1), "pad": "x" * 3000}), version)
    version += 1
    print(version, flush=True)
"""


def test_a_writer_killed_at_any_moment_loses_nothing_that_it_was_told(tmp_path: Path) -> None:
    folder, key, chance = tmp_path / "store", new_key(), random.Random(20261124)
    store = EmbeddedStore(folder, key, SystemClock())
    told = 0
    for _ in range(KILLS):
        told = max(told, written_until_killed(folder, key, chance))
        for documents in (store.consumers, store.staging):
            seen = documents.read("a/b")
            assert seen.version in (told, told + 1)
            if seen.fields is not None:
                assert seen.fields.text("n") == seen.fields.text("again") == str(seen.version)
        consumers, staged = store.consumers.read("a/b").version, store.staging.read("a/b").version
        assert staged - consumers in (0, 1)
        if staged != consumers:  # what a recovery would do: the write that was not made is made now
            told = staged
            store.consumers.write("a/b", Fields({"n": str(told), "again": str(told)}), consumers)
        told = max(told, staged)
    assert told > KILLS
    assert len(store.consumers.history("a/b")) == 10
    assert len(store.staging.history("a/b")) == 1


def written_until_killed(folder: Path, key: Secret, chance: random.Random) -> int:
    """Run the writer, kill it after a few of its writes, and return the last version it was sure of."""
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=root,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(root)},
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        process.stdin.write(key.reveal() + "\n")
        process.stdin.flush()
        told = 0
        for _ in range(chance.randint(1, 4)):
            line = process.stdout.readline()
            assert line, process.stderr.read()
            told = int(line)
        for _ in range(chance.randrange(20_000)):  # somewhere within the next write, without asking a clock
            pass
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    return int(rest[-1]) if rest else told
