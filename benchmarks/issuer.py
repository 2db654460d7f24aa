"""The sandbox's issuers in a process of their own, and what they saw: which requests were under way at the same time.

    with Issuer.start(folder, apps=50, latency=0.08) as issuer:
        ...
        seen = issuer.seen()       # every request since the last question

What is asked of them travels as lines of JSON over pipes, so that it delays nobody.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from starlette.requests import Request
from starlette.responses import Response

from benchmarks.measuring import ROOT, environment
from rotator.sandbox.gate import Endpoint, Gate, read_call
from rotator.sandbox.server import Sandbox
from rotator.sandbox.weather import Weather
from rotator.sandbox.world import GRAPH_APP_ID, GRAPH_URI, KONTROLLE_API, App, Resource, World, rotator_app

AUDIENCE: Final = "api://kontrolle-provider"
ROLE: Final = "ProviderApi.Access"


def app_id(number: int) -> str:
    """Return the application with this number, from 0."""
    return f"7f3c0c52-0000-4000-8000-{number:012d}"


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, from when all of it was there until its answer was ready, by the issuers' monotonic clock."""

    route: str
    app: str
    begins: float
    ends: float


class Issuer:
    """The other process, as seen from here. facts: what a configuration needs to know."""

    def __init__(self, process: subprocess.Popen[str], facts: Mapping[str, Any]) -> None:
        self._process = process
        self.facts = facts

    @classmethod
    def start(cls, folder: Path, *, apps: int, latency: float) -> Self:
        """Start issuers for so many applications. latency: in seconds, of every answer."""
        folder.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.issuer", str(folder), str(apps), str(latency)],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return cls(process, json.loads(_line(process.stdout)))

    def seen(self) -> Sequence[Visit]:
        """Return the requests since the last question."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return [Visit(*one) for one in json.loads(_line(self._process.stdout))]

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """Return how many spans had begun and not ended at the same time, at the most."""
    turns = sorted(turn for begins, ends in spans for turn in ((begins, 1), (ends, -1)))
    most = now = 0
    for _, change in turns:
        now += change
        most = max(most, now)
    return most


def _line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


# --------------------------------------------------------------------------------------------------- the other process


def serve(folder: Path, apps: int, latency: float) -> None:
    """Serve until standard input ends."""
    seen: list[tuple[str, str, float, float]] = []
    _watch(seen)
    resources = (
        Resource(GRAPH_APP_ID, "Microsoft Graph", GRAPH_URI, 1),
        Resource(KONTROLLE_API, "Kontrolle+ provider API", AUDIENCE, 1),
    )
    world = World(
        rotator=rotator_app("Application.ReadWrite.OwnedBy", "Policy.Read.All"),
        apps=tuple(App(app_id(number), f"Partner {number}", {AUDIENCE: (ROLE,)}) for number in range(apps)),
        resources=resources,
    )
    weather = Weather.calm().but(latency=timedelta(seconds=latency))
    with Sandbox.start(folder, weather=weather, seed=7, world=world) as sandbox:
        facts = {
            "url": sandbox.base_url,
            "folder": str(folder.absolute()),
            "tenant": sandbox.tenant,
            "rotator": world.rotator.app_id,
        }
        print(json.dumps(facts), flush=True)
        for _ in sys.stdin:
            told, seen[:] = list(seen), []
            print(json.dumps(told), flush=True)


def _watch(seen: list[tuple[str, str, float, float]]) -> None:
    """Note every request that passes the gate, with its beginning, which the sandbox itself does not keep."""
    pass_on = Gate._serve

    async def noted(gate: Gate, endpoint: Endpoint, request: Request) -> Response:
        begins = time.monotonic()
        try:
            return await pass_on(gate, endpoint, request)
        finally:
            subject = gate._subject(await read_call(request))
            seen.append((str(endpoint.route), subject, begins, time.monotonic()))

    Gate._serve = noted  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
