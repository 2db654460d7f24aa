"""How soon commands answer, and what a process of rotator weighs. Whole processes, by turns with a bare interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.grounds import configuration
from benchmarks.measuring import ROOT, Table, by_turns, environment, megabytes, ms, times
from rotator.app.config import load
from rotator.clock import SystemClock
from rotator.event import Event, EventName
from rotator.model import CredentialState, Origin, Version, VersionState
from rotator.persistence.ledger import SqlLedger

TURNS: Final = 31
TARGETS: Final = {"rotator --help": 6, "rotator status": 20}
COMMANDS: Final = (
    ("--help",),
    ("--version",),
    ("status",),
    ("plan",),
    ("check", "--offline"),
    ("audit", "list"),
)
_SDKS: Final = ("msgraph", "azure", "hvac", "sqlalchemy", "pydantic", "click")
_ISSUER: Final = {
    "url": "https://127.0.0.1:8443",
    "folder": ".",
    "tenant": "11111111-2222-3333-4444-555555555555",
    "rotator": "5a6d0f1e-0000-4000-8000-000000000001",
}
_ROTATOR: Final = "import sys; from rotator.cli.main import main; sys.argv[0] = 'rotator'; main()"
_WEIGHED: Final = """
import atexit, json, pathlib, re, sys
def told():
    peak = re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())
    sys.stderr.write(json.dumps({"peak": int(peak[1]) * 1024, "modules": sorted(sys.modules)}) + "\\n")
atexit.register(told)
"""
_PROCESSES: Final = (
    ("a bare interpreter", "pass", ()),
    ("rotator --help", _ROTATOR, ("--help",)),
    ("rotator status", _ROTATOR, ("status",)),
    ("rotator plan", _ROTATOR, ("plan",)),
    ("rotator check --offline", _ROTATOR, ("check", "--offline")),
    ("rotator audit list", _ROTATOR, ("audit", "list")),
    ("the state, opened for writing", "import rotator.app.house, rotator.persistence.ledger", ()),
    ("the Entra provider, at its first call", "import rotator.app.house, rotator.providers.entra_graph", ()),
)


def measure(folder: Path) -> Iterator[Table]:
    """Yield two tables: how long commands take, and what they weigh. folder: to work in."""
    _prepare(folder)
    yield _starts(folder)
    yield _weights(folder)


def _prepare(folder: Path) -> None:
    """Make a configuration of three credentials, and a state that knows them."""
    apps = [(f"partner-{number:06d}-prod", "contoso", f"7f3c0c52-0000-4000-8000-{number:012d}") for number in range(3)]
    (folder / "config.yaml").write_text(configuration({"contoso": _ISSUER}, apps, 4), encoding="utf-8")
    for name, text in (("graph-secret", "nobody asks for it\n"), ("ca.pem", "-----BEGIN CERTIFICATE-----\n")):
        (folder / name).write_text(text, encoding="ascii")
        (folder / name).chmod(0o600)
    config, clock = load(folder / "config.yaml").config, SystemClock()
    with SqlLedger(config.state.database, clock) as ledger:
        for one in config.models:
            made, ends = clock.now(), clock.now() + timedelta(days=60)
            ledger.record(
                Event(EventName.ROTATION_FINISHED, "somebody", credential=one.name),
                CredentialState(one.name, one.binding, one.provider, one.kind),
                Version(one.name, "k-1", VersionState.CURRENT, Origin.OURS, made, ends),
            )


def _starts(folder: Path) -> Table:
    bare, rotator = "python -c pass", str(Path(sys.executable).with_name("rotator"))
    commands: dict[str, Sequence[str]] = {bare: (sys.executable, "-c", "pass")}
    commands |= {" ".join(("rotator", *args)): (rotator, *args) for args in COMMANDS}
    runs = by_turns(commands, TURNS, folder)
    rows = [
        (
            name,
            ms(run.median),
            times(run.median, runs[bare].median),
            times(run.median_cpu, runs[bare].median_cpu),
            f"{TARGETS[name]} x" if name in TARGETS else "",
        )
        for name, run in runs.items()
    ]
    return Table(
        "How soon commands answer",
        ("command", "median", "of a bare start", "in processor time", "at most"),
        rows,
        (f"Whole processes by turns, {TURNS} times each; a state of three credentials.",),
    )


def _weights(folder: Path) -> Table:
    rows = []
    for name, code, args in _PROCESSES:
        found = _weighed(folder, code, args)
        loaded = {module.partition(".")[0] for module in found["modules"]}
        rows.append(
            (name, megabytes(found["peak"]), str(len(found["modules"])), *(_mark(sdk in loaded) for sdk in _SDKS))
        )
    return Table(
        "What a process weighs",
        ("process", "peak", "modules", *_SDKS),
        rows,
        ("Most of it in RAM at any moment, and which packages it imports.",),
    )


def _mark(loaded: object) -> str:
    return "yes" if loaded else "-"


def _weighed(folder: Path, code: str, args: Sequence[str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", _WEIGHED + code, *args],
        cwd=folder,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    found: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return found
