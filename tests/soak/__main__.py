"""`make soak MINUTES=60`: fifty credentials that live for five minutes, a real Vault, issuers with bad days, and chaos.

In the first half the service is killed, stopped, suspended and reloaded, and Vault is sealed; in the second half one
process has to bear the rest, so that its memory and descriptors can be compared. Consumers use what they read all the
time. At the end the weather clears, and the judge of the tests looks at everything. The exit status is 1 when anything
that must hold did not.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from rotator.sandbox.server import Sandbox
from rotator.sandbox.weather import Answer, Effect, Fault, Weather, throttle
from rotator.sandbox.world import App
from tests.e2e.cli_bench import COMMAND
from tests.e2e.real_oracle import judge
from tests.e2e.real_world import APPS, AUDIENCES, NAME, RealWorld, Station
from tests.servers.vault_server import VaultServer
from tests.soak.consumers import Consumers
from tests.soak.measure import Life

CREDENTIALS = 50
GRACE = timedelta(seconds=45)
SETTLING = 150.0
"""Seconds of good weather at the end: what is in its grace ends, what failed is tried again."""

NAMES = {f"soak-{n:02d}": f"7f3c0c52-0000-4000-9000-{n:012d}" for n in range(CREDENTIALS)}


def bad_days() -> Weather:
    """Return issuers of which each twentieth answer is bad, before or after the act, and which are slow to agree."""
    faults = (
        (0.01, throttle("2")),
        (0.01, Fault(Answer.ERROR, Effect.NONE, 503)),
        (0.01, Fault(Answer.ERROR, Effect.DONE, 503)),
        (0.01, Fault(Answer.DROP, Effect.DONE)),
        (0.01, Fault(Answer.ERROR, Effect.LATE, 504)),
    )
    lag = timedelta(seconds=3)
    return Weather(replicas=2, fresh_lag=lag, stale_list=lag, latency=timedelta(milliseconds=20), faults=faults)


def configured(world: RealWorld) -> Station:
    """Return a machine that tracks them all."""
    for name, application in NAMES.items():
        APPS[name], AUDIENCES[name] = application, AUDIENCES[NAME]
        roles = {"api://kontrolle-provider": ("ProviderApi.Access",)}
        world.sandbox.directory.enrol(App(application, name, roles, first_secret=None))
    station = world.station(credentials=tuple(NAMES), grace=f"{GRACE.seconds}s")
    station.edit("service: {jitter: 0s}", "service: {jitter: 10s, tick: 2s}")
    station.edit("lifetime: 4h, rotate_before: 1h", "lifetime: 5m, rotate_before: 150s")
    station.edit("alert_before: [10m]", "alert_before: [1m]")
    station.edit("spacing: 0s, deadline: 20s", "spacing: 1s, deadline: 40s, every: 1m")
    return station


class Chaos:
    """Runs the service and does to it what happens to services."""

    def __init__(self, world: RealWorld, station: Station, log: Path, seed: int) -> None:
        self.world, self.station = world, station
        self.done: Counter[str] = Counter()
        self.lives: list[Life] = []
        self.unexpected: list[str] = []
        self._log, self._dice = log, random.Random(seed)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the service anew."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "daemon"],
                cwd=self.station.folder,
                env={**self.station.environ, "MALLOC_ARENA_MAX": "2"},  # as the unit has it
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.lives.append(Life(self._process.pid))

    def look(self) -> None:
        """Take a sample; a service that has ended by itself is a fault, and is started again."""
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            self.unexpected.append(f"the service ended by itself with {code}")
            self.start()
        self.lives[-1].look()

    def strike(self, *, killing: bool) -> None:
        """Do one thing."""
        acts = [self._seal, self._reload, self._suspend, self._rotate_by_hand]
        if killing:
            acts += [self._kill, self._kill, self._stop]
        self._dice.choice(acts)()

    def end(self) -> int:
        """Have it end, and return its status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def kill(self) -> None:
        """See that nothing is left running."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self.done["killed"] += 1
        self.start()

    def _stop(self) -> None:
        code = self.end()
        if code != 0:
            self.unexpected.append(f"told to end, it ended with {code}")
        self.done["stopped"] += 1
        self.start()

    def _reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)
        self.done["reloaded"] += 1

    def _suspend(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(self._dice.uniform(2, 15))
        self._process.send_signal(signal.SIGCONT)
        self.done["suspended"] += 1

    def _seal(self) -> None:
        self.world.vault.seal()
        time.sleep(self._dice.uniform(2, 12))
        self.world.vault.unseal().wait_until_active()
        self.done["vault sealed"] += 1

    def _rotate_by_hand(self) -> None:
        """Ask for rotations by hand, and do not wait: some are handed over, some meet a service that is starting."""
        for name in self._dice.sample(sorted(NAMES), 2):
            self.station.run("rotate", "--now", "--no-wait", name, "--reason", "soak")
        self.done["asked by hand"] += 1


def soak(world: RealWorld, chaos: Chaos, minutes: float) -> list[str]:
    """Let it go for so long, and return what did not hold."""
    began = time.monotonic()
    end, half, told, strike_at = began + 60 * minutes, began + 30 * minutes, 0, began + 20
    dice = random.Random(0)
    with Consumers(world, NAMES) as consumers:
        world.sandbox.set_weather(bad_days())
        chaos.start()
        while (now := time.monotonic()) < end:
            time.sleep(2)
            chaos.look()
            if now > strike_at and end - now > 60:
                chaos.strike(killing=now < half)
                strike_at = time.monotonic() + dice.uniform(15, 45)
            if now - began > 60 * (told + 1):
                told += 1
                print(f"{told:3d} min  {_figures(world, chaos, consumers)}", flush=True)
        world.sandbox.set_weather(Weather.calm())
        print(f"     clear weather for {SETTLING:.0f} s", flush=True)
        quiet = time.monotonic() + SETTLING
        while time.monotonic() < quiet:
            time.sleep(2)
            chaos.look()
        code = chaos.end()
    print(f"     {_figures(world, chaos, consumers)}", flush=True)
    found = [*consumers.refused[:10], *chaos.unexpected, *([f"it ended with {code}"] if code else [])]
    return [*found, *_judged(world, chaos)]


def _judged(world: RealWorld, chaos: Chaos) -> Iterator[str]:
    station = chaos.station
    station.done("rotate")  # a pass of its own: what a service would have done in its next minutes
    for name in NAMES:
        try:
            judge(world, name, grace=GRACE - timedelta(seconds=2), quiet=True)
        except AssertionError as error:
            yield f"{name}: {error}"
    verified = station.run("audit", "verify")
    if verified.code:
        yield f"audit verify ends with {verified.code}: {verified.out}"
    if station.run("orphans", "--check").code:
        yield "there are orphans"
    status = station.run("status", "--check")
    if status.code:
        yield f"status: {status.out[-2000:]}"
    said = station.database.read_bytes() + b"".join(one.encode() for one in station.printed)
    for name, application in NAMES.items():
        if any(held.text.encode() in said for held in world.sandbox.directory.truth(application)):
            yield f"I22: a value of {name} is in the state or in what was printed"
    for life in chaos.lives:
        yield from life.complaints()


def _figures(world: RealWorld, chaos: Chaos, consumers: Consumers) -> str:
    mutations = Counter(one.operation for one in world.sandbox.directory.mutations())
    acts = ", ".join(f"{name} {count}" for name, count in sorted(chaos.done.items()))
    bad = sum(one.fault is not None for one in world.sandbox.directory.requests())
    uses = f"{consumers.asked} uses, {len(consumers.refused)} refused"
    made = f"{mutations['add']} made, {mutations['remove']} removed"
    return f"{made}, {uses}, {bad} of {world.requests()} answers bad; {acts or 'nothing yet'}"


def main(argv: list[str]) -> int:
    """Run it; argv: how many minutes, and a seed."""
    minutes, seed = float(argv[0]) if argv else 60.0, int(argv[1]) if len(argv) > 1 else random.randrange(10**6)
    print(f"{CREDENTIALS} credentials of five minutes each, for {minutes:g} min; seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="rotator-soak-"))
    chaos: Chaos | None = None
    try:
        with VaultServer() as vault, Sandbox.start(folder / "issuers", weather=Weather.calm()) as sandbox:
            world = RealWorld(folder, sandbox, vault)
            chaos = Chaos(world, configured(world), folder / "service.log", seed)
            try:
                wrong = soak(world, chaos, minutes)
            finally:
                chaos.kill()
            print(max(chaos.lives, key=lambda life: len(life.memory)).sentence())
            print("\n".join(wrong) or "Everything held.")
            if wrong:
                with contextlib.suppress(OSError):
                    shutil.copy(folder / "service.log", "soak.log")
                    print("The log of the service: soak.log")
            return int(bool(wrong))
    finally:
        if chaos is not None:
            chaos.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
