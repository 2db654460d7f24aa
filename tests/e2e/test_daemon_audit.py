"""The service and its record: checkpoints on time without any event, copies as they come, and a chain that holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.cli_bench import Bench, bench
from tests.e2e.daemon_bench import service, until

__all__ = ["bench"]

pytestmark = pytest.mark.slow

TOOL = Path(__file__).parents[2] / "tools/verify_audit.py"
LINES = """
service: {tick: 1s}
audit: {signing_key: "file:audit-key.pem", checkpoint_every: 1s, mirror: ["file:copy.jsonl", "file:missing/copy.jsonl"]}
"""


def test_the_service_signs_on_time_copies_what_it_records_and_leaves_a_chain_that_holds(bench: Bench) -> None:
    config = bench.folder / "config.yaml"
    config.write_text(config.read_text(encoding="utf-8") + LINES, encoding="utf-8")
    copy = bench.folder / "copy.jsonl"

    def copied(event: str) -> list[dict[str, object]]:
        text = copy.read_text(encoding="utf-8") if copy.exists() else ""
        found = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return [one for one in found if one["event"] == event]

    with service(bench.folder, bench.environ) as daemon:
        daemon.ready()
        daemon.has("rotation.finished", 2, reason="promoted")
        before = len(copied("audit.checkpoint"))
        until("checkpoints are written while nothing happens", lambda: len(copied("audit.checkpoint")) > before + 1)
        until("the failing copy is told of", lambda: any("audit mirror" in line for line in daemon.said("STATUS=")))
        (bench.folder / "missing").mkdir()
        until("it has caught up", (bench.folder / "missing/copy.jsonl").exists)
        followed = bench.run("audit", "verify")
        assert followed.code == 0 and "our key" in followed.out
        assert daemon.stopped() == 0
    assert copied("daemon.stopped")
    verified = bench.run("audit", "verify")
    assert verified.code == 0, verified
    exported = bench.folder / "export.jsonl"
    assert bench.run("audit", "export", "--out", str(exported)).code == 0
    checked = subprocess.run([sys.executable, TOOL, exported, "--key", "0" * 64], capture_output=True, check=False)
    assert checked.returncode == 4
    assert subprocess.run([sys.executable, TOOL, exported], capture_output=True, check=False).returncode == 0
    assert exported.read_text(encoding="utf-8") == copy.read_text(encoding="utf-8")
