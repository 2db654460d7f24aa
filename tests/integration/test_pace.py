"""A vendor's pace holds over threads, processes and restarts; real processes, one real file."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from rotator.clock import ManualClock, SystemClock
from rotator.wire.pace import Pace

GAP = timedelta(milliseconds=60)
CODE = """
import sys
from datetime import timedelta
from pathlib import Path
from rotator.clock import SystemClock
from rotator.wire.pace import Pace
clock, pace = SystemClock(), Pace(timedelta(milliseconds=60), SystemClock(), Path(sys.argv[1]))
for _ in range(5):
    pace.keep()
    print(pace._last.since_boot / timedelta(microseconds=1), flush=True)
"""


def test_processes_and_the_one_after_them_take_their_turns(tmp_path: Path) -> None:
    file = tmp_path / ".pace-v"
    command = [sys.executable, "-c", CODE, str(file)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    moments = [float(line) for one in both for line in one.communicate(timeout=60)[0].split()]
    after = subprocess.run(command, capture_output=True, text=True, check=True)
    moments += [float(line) for line in after.stdout.split()]
    assert len(moments) == 15
    least = min(later - earlier for earlier, later in pairwise(sorted(moments)))
    assert least >= GAP / timedelta(microseconds=1) - 2, "a microsecond may be lost at writing, and one at reading"
    assert file.stat().st_mode & 0o777 == 0o600


def test_threads_take_their_turns_without_a_file() -> None:
    clock = SystemClock()
    pace, began = Pace(GAP, clock), clock.instant().since_boot

    def ask() -> None:
        for _ in range(3):
            pace.keep()

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert clock.instant().since_boot - began >= 8 * GAP, "nine requests have eight gaps between them"


@pytest.mark.parametrize("content", ["", "nonsense", "other-boot 12345", "x 99999999999999999999999"])
def test_what_cannot_be_read_or_is_of_another_boot_makes_nobody_wait(tmp_path: Path, content: str) -> None:
    clock, file = ManualClock(), tmp_path / ".pace-v"
    file.write_text(content)
    began = clock.now()
    Pace(timedelta(hours=1), clock, file).keep()
    assert clock.now() == began
    Pace(timedelta(hours=1), clock, file).keep()
    assert clock.now() == began + timedelta(hours=1), "the next process waits for its turn"


def test_a_folder_that_is_not_there_leaves_the_pace_to_the_process(tmp_path: Path) -> None:
    clock = ManualClock()
    pace, began = Pace(timedelta(seconds=2), clock, tmp_path / "gone" / "file"), clock.now()
    pace.keep()
    pace.keep()
    assert clock.now() == began + timedelta(seconds=2)
