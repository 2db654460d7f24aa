"""What a command imports: only what it uses. Starting is most of what a short command does, and this decides how long.

How long it takes is measured by the benchmarks; here is no time limit.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rotator.app.config import load
from rotator.clock import ManualClock
from rotator.event import Event, EventName
from rotator.model import CredentialState, Origin, Version, VersionState
from rotator.persistence.ledger import SqlLedger
from rotator.sandbox.files import render_config

OF_ENTRA = {"msgraph", "azure", "kiota_http", "msal", "aiohttp", "httpx"}
OF_STORES = {"hvac", "requests", "urllib3"}
OF_PROOFS = {"httpx2", "httpcore2", "jwt"}
OF_WRITING = {"sqlalchemy", "alembic"}
OF_SERVING = {"uvicorn", "starlette", "jinja2", "prometheus_client", "apscheduler"}
OF_CONFIGURATION = {"pydantic", "yaml"}
NOBODY = OF_ENTRA | OF_STORES | OF_PROOFS | OF_SERVING

_TOLD = """
import atexit, json, sys
atexit.register(lambda: sys.stderr.write(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})) + "\\n"))
"""
_COMMAND = "from rotator.cli.main import main; main()"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the sandbox's configuration and a state that knows its credentials."""
    found = tmp_path_factory.mktemp("import-cost")
    (found / "config.yaml").write_text(render_config(port=8443), encoding="utf-8")
    (found / "graph.pem").write_text("nobody reads it\n", encoding="ascii")
    (found / "graph.pem").chmod(0o600)
    (found / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n", encoding="ascii")
    config = load(found / "config.yaml").config
    clock = ManualClock(datetime(2026, 11, 24, tzinfo=UTC))
    now = clock.now()
    with SqlLedger(config.state.database, clock) as ledger:
        for one in config.models:
            ledger.record(
                Event(EventName.ROTATION_FINISHED, "somebody", credential=one.name),
                CredentialState(one.name, one.binding, one.provider, one.kind),
                Version(one.name, "k-1", VersionState.CURRENT, Origin.OURS, now, now + timedelta(days=60)),
            )
    return found


def imported(folder: Path, code: str, *args: str) -> set[str]:
    """Return the packages that a process has imported when it ends. It must have done what it was asked to do."""
    done = subprocess.run(
        [sys.executable, "-c", _TOLD + code, *args], cwd=folder, capture_output=True, text=True, check=False
    )
    *said, packages = done.stderr.splitlines()
    assert done.returncode == 0, said
    return set(json.loads(packages))


@pytest.mark.parametrize("command", ["--help", "--version", "status --help", "completion bash"])
def test_to_be_told_what_there_is_needs_neither_configuration_nor_state(folder: Path, command: str) -> None:
    found = imported(folder, _COMMAND, *command.split())
    assert "click" in found
    assert not found & (NOBODY | OF_WRITING | OF_CONFIGURATION)


@pytest.mark.parametrize("command", ["status", "plan", "audit list", "history kontrolle-plus-prod", "check --offline"])
def test_a_command_that_only_reads_the_state_imports_no_vendor_no_store_and_no_sqlalchemy(
    folder: Path, command: str
) -> None:
    found = imported(folder, _COMMAND, *command.split())
    assert {"sqlite3", "pydantic"} <= found
    assert not found & (NOBODY | OF_WRITING)


def test_a_command_that_writes_to_the_state_imports_no_vendor(folder: Path) -> None:
    found = imported(folder, _COMMAND, "pause", "site-reports-prod")
    assert "sqlalchemy" in found
    assert not found & (OF_ENTRA | OF_PROOFS | OF_SERVING)


def test_the_entra_provider_imports_its_sdks_at_its_first_call_only(folder: Path) -> None:
    assert not imported(folder, "import rotator.app.wiring, rotator.providers.entra") & OF_ENTRA
    at_work = imported(folder, "import rotator.providers.entra_graph")
    assert {"msgraph", "azure"} <= at_work
