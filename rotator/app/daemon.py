"""`rotator daemon`: asks the ledger every so often what is due, and has it visited; the engine decides what is done.

One loop does it all: ticks, reloads, and the end, one after the other. It feeds the watchdog, so a loop that hangs is
restarted by the service manager. Visits are made by the threads of a crew, what else the service does by companions;
neither is waited for by the loop. Killed at any moment, it leaves what the next start recovers.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from types import FrameType
from typing import Final, NamedTuple, Self

import rotator
from rotator.app import heads
from rotator.app.companion import Companion
from rotator.app.config import load
from rotator.app.figures import Pulse
from rotator.app.handover.caller import KIND, place_of
from rotator.app.house import House, Use
from rotator.app.notify_socket import Manager
from rotator.app.ramp import Ramp
from rotator.app.rubbish import Rubbish
from rotator.app.scheduler import Loop
from rotator.app.servicelog import ServiceLog
from rotator.clock import Instant, elapsed
from rotator.crew import Crew
from rotator.engine import Engine, Mode, Report
from rotator.errors import Broken, Busy, Misconfigured, RotatorError, StateUnusable
from rotator.event import Event, EventName
from rotator.kit import Interrupted
from rotator.model import Credential, RotationOutcome
from rotator.outlook import LONGEST_SLEEP
from rotator.timing import plus

PATIENCE: Final = timedelta(seconds=8)
"""How long the step in hand is waited for when the service is to end; systemd is told the rest by the unit."""

_LOOK_AGAIN: Final = timedelta(milliseconds=250)
_STUCK: Final = timedelta(minutes=2)


class _Former(NamedTuple):
    """A configuration that was replaced, and the visits that still use its parts."""

    house: House
    visits: frozenset[str]


class Daemon:
    """The service for one state. Made by `serve`, which opens and ends it."""

    def __init__(self, house: House, log: ServiceLog, manager: Manager) -> None:
        """Prepare. house: with its state open for writing."""
        self.house, self._log, self._manager = house, log, manager
        self.loop = Loop()
        self.crew = house.visitors = Crew(_engine(house))
        self._companions: Sequence[Companion] = ()
        self._former: list[_Former] = []
        self._ramp = Ramp()
        self._rubbish = Rubbish()
        self._unseen: frozenset[str] = frozenset()
        self._last: Instant | None = None
        self._reloaded = True
        self._failure: StateUnusable | None = None
        self._named: dict[str, Credential] = {}
        self._ends = 0
        self._take(house)

    # ------------------------------------------------------------------------------------------------------- the loop

    def run(self, companions: Callable[[House, Daemon], Sequence[Companion]]) -> None:
        """Work until a signal ends it. Raises StateUnusable when the state cannot be written any more."""
        house, ledger = self.house, self.house.ledger()
        ledger.listen(self._log.recorded)
        ledger.record(Event(EventName.DAEMON_STARTED, house.actor, detail=f"rotator {rotator.__version__}"))
        ledger.record(Event(EventName.CONFIG_LOADED, house.actor, detail=_described(house)))
        self._companions = [one for one in companions(house, self) if self._started(one)]
        self.loop.every("tick", house.config.service.tick, self.tick)
        watchdog = self._manager.watchdog
        if watchdog is not None and watchdog / 2 < house.config.service.tick:
            self.loop.every("watchdog", watchdog / 3, self._manager.alive)
        self._rubbish.settle()
        self._manager.ready()
        why = "stopped"
        try:
            self.loop.run({signal.SIGTERM: self.end, signal.SIGINT: self.end, signal.SIGHUP: self._asked_to_reload})
        except BaseException:
            why = "failed"
            raise
        finally:
            self._wind_up("failed" if self._failure is not None else why)
        if self._failure is not None:
            raise self._failure

    def tick(self) -> None:
        """Have visited what can be due now; a tick that finds nothing writes nothing.

        Stopped anywhere: the next one asks again.
        """
        try:
            self._look()
        except Busy as error:  # another process reads at length; nothing is lost by looking later
            self._log.trouble("tick.put_off", error)
        self._last = self.house.clock.instant()
        self._forget_former()
        self._rubbish.look()
        self._manager.status(self.status())
        self._manager.alive()

    def _look(self) -> None:
        ledger, now = self.house.ledger(), self.house.clock.now()
        ledger.see_that_it_is_there()
        waking = ledger.waking(now, len(self._named) + 1000)
        departed = [one for one in waking if one.name not in self._named]
        if departed:
            ledger.postpone(dict.fromkeys(departed, plus(now, LONGEST_SLEEP)))
        new = [*(one.name for one in waking if one.fresh and one.name in self._named), *sorted(self._unseen)]
        for name in [
            *(one.name for one in waking if not one.fresh and one.name in self._named),
            *self._ramp.admit(new),
        ]:
            self._submit(self._named[name])

    def _submit(self, credential: Credential) -> None:
        house = self.house
        visit = self.crew.submit(credential, lambda: house.kit_at_any_rate(credential))
        if visit is not None:
            self._unseen -= {credential.name}
            visit.add_done_callback(lambda done: self._visited(house, credential, done))

    def _visited(self, house: House, credential: Credential, done: Future[Report]) -> None:
        """Hear of a visit that is over, in its thread."""
        if done.cancelled():
            return
        failure = done.exception()
        if failure is not None:
            self._fail(failure)
            return
        report = done.result()
        self._rubbish.visited()
        self._ramp_heard(report)
        self._log.visited(report)
        if report.rotation is not None or report.retired:
            with suppress(RotatorError, Interrupted):  # it is published again with the next rotation
                store = house.store(credential.store, Use.CHANGE)
                heads.publish(house.ledger(), {credential.store: store.staging}, house.clock)

    def _ramp_heard(self, report: Report) -> None:
        well = report.error is None and report.outcome is not RotationOutcome.PARKED
        self.loop.soon(f"ramp {report.credential.name}", lambda: self._ramp.ended(report.credential.name, well=well))

    def _fail(self, failure: BaseException) -> None:
        if not isinstance(failure, StateUnusable):
            kind = type(failure).__name__
            failure = StateUnusable(
                f"A visit ended in a way that nobody foresaw ({kind}); it is a fault of rotator itself.",
                hint="Report it. The next start recovers what was begun.",
                code="unforeseen",
            )
        self._failure = self._failure or failure
        self.loop.end()

    # --------------------------------------------------------------------------------------------------------- reload

    def _asked_to_reload(self) -> None:
        self.loop.soon("reload", self.reload)

    def reload(self) -> None:
        """Go on with the whole new configuration, or with the old one, and say which.

        Visits under way end with the configuration that they began with.
        """
        self._manager.reloading()
        try:
            self._change_to(self.house.heir(load(self.house.config.path)))
        except StateUnusable:
            raise
        except RotatorError as error:
            self._reloaded = False
            event = Event(EventName.CONFIG_REFUSED, self.house.actor, reason=error.code, detail=_first_line(error))
            self.house.ledger().record(event)
            self._log.trouble("config.refused", error)
        self._manager.ready()

    def _change_to(self, house: House) -> None:
        old = self.house
        if house.database != old.database:
            raise Misconfigured(
                f"state.url now names {house.database}, and this daemon works on {old.database}.",
                hint="Put the old one back, or restart the daemon: systemctl restart rotator",
                code="other_state",
            )
        self._former.append(_Former(old, self.crew.in_flight))
        self.crew.take(_engine(house))
        self._take(house)
        for companion in self._companions:
            try:
                companion.reloaded(house)
            except (RotatorError, OSError) as error:
                self._complain(companion, error)
        if house.config.service.tick != old.config.service.tick:
            self.loop.every("tick", house.config.service.tick, self.tick)
        self._reloaded = True
        house.ledger().record(Event(EventName.CONFIG_LOADED, house.actor, detail=_described(house)))

    def _take(self, house: House) -> None:
        self.house = house
        self._named = {one.name: one for one in house.config.models}
        self._unseen = frozenset(self._named) - house.ledger().managed()

    def _forget_former(self) -> None:
        """Close the parts of configurations that no visit uses any more."""
        under_way = self.crew.in_flight
        for former in [one for one in self._former if not (one.visits & under_way or one.house.has_guests)]:
            self._former.remove(former)
            former.house.close_parts()
            self._rubbish.settle()

    # ------------------------------------------------------------------------------------------------------ companions

    def _started(self, companion: Companion) -> bool:
        try:
            companion.start()
        except (RotatorError, OSError) as error:
            self._complain(companion, error)
        return True

    def _complain(self, companion: Companion, error: RotatorError | OSError) -> None:
        """Say that a companion cannot do its work; the loop goes on without it."""
        if not isinstance(error, RotatorError):
            error = Broken(
                f"{companion.name}: {error.strerror or type(error).__name__}.", hint="See what is in its way."
            )
        self._log.trouble("companion.failed", error, companion=companion.name)

    # ------------------------------------------------------------------------------------------------------------- end

    def end(self) -> None:
        """End after the step in hand; asked a second time, end at once. Called by a signal."""
        self._ends += 1
        if self._ends > 1:
            os._exit(os.EX_TEMPFAIL)
        self.loop.end()

    def _wind_up(self, why: str) -> None:
        self._manager.stopping()
        self.house.stop.set()
        left = self.crew.drain(PATIENCE)
        for companion in reversed(self._companions):
            with suppress(RotatorError, OSError):
                companion.stop()
        detail = "all that was begun is settled or written down"
        if left:
            detail = f"{left} calls had not ended; the next start settles them"
        with suppress(StateUnusable):
            event = Event(EventName.DAEMON_STOPPED, self.house.actor, reason=why, detail=detail)
            self.house.ledger().record(event)
        self.loop.close()
        if not left:
            for house in (*(one.house for one in self._former), self.house):
                house.close_parts()
            self.crew.close()

    # ------------------------------------------------------------------------------------------------------- questions

    def status(self) -> str:
        """Return what it does, in one line, with counts."""
        ledger, under_way = self.house.ledger(), len(self.crew.in_flight)
        ailing = [one.name for one in self._companions if one.beat() is not None]
        said = [f"{len(self._named)} tracked", f"{under_way} under way", f"{ledger.parked_count()} parked"]
        said += [f"{name} does not work" for name in ailing]
        said += [] if self._reloaded else ["the configuration on disk is refused, the old one is in force"]
        return ", ".join(said)

    def pulse(self) -> Pulse:
        """Return when it last looked for what is due, and whether the last reload was good."""
        return Pulse(self._last.wall if self._last is not None else None, self._reloaded)

    def stuck(self) -> str | None:
        """Return None while the loop lives, else what is wrong, as a sentence."""
        last = self._last
        age = elapsed(last, self.house.clock.instant()) if last is not None else None
        allowed = max(_STUCK, 3 * self.house.config.service.tick)
        if age is None or age <= allowed:
            return None
        return f"The loop has not looked for what is due for {int(age.total_seconds())} s."

    def unwritable(self) -> str | None:
        """Return None while the state can be written, as far as the loop knows, else what is wrong, as a sentence."""
        return None if self._failure is None else self._failure.message


def _engine(house: House) -> Engine:
    service = house.config.service
    mode = Mode.OBSERVE if house.observing else Mode.ACTIVE
    return Engine(house.clock, house.stop, concurrency=service.concurrency, jitter=service.jitter, mode=mode)


def _described(house: House) -> str:
    config = house.config
    return f"{config.path}: {len(config.models)} credentials, mode {config.state.mode}"


def _first_line(error: RotatorError) -> str:
    return error.message.splitlines()[0] if error.message else error.code


# ---------------------------------------------------------------------------------------------------------------- start


def serve(
    house: House,
    log: ServiceLog,
    manager: Manager,
    companions: Callable[[House, Daemon], Sequence[Companion]],
) -> int:
    """Run the service until it is told to end, and return the exit status.

    Raises Busy (75) when another daemon has the state; a command that has it is waited for. Raises Misconfigured (78)
    and StateUnusable (1), before anybody is contacted.
    """
    if not _holds(house, log, manager):
        return 0
    Daemon(house, log, manager).run(companions)
    return 0


def _holds(house: House, log: ServiceLog, manager: Manager) -> bool:
    """Lock the state; False when we are told to end while a command holds it."""
    said = False
    with _Ending() as ending:
        while not ending.asked:
            try:
                house.ledger(f"{KIND} {place_of(house.database, house.environ)}", timedelta(0))
            except Busy as error:
                holder = house.builder.holder(house.database, house.clock)
                if error.code != "state_locked":
                    raise
                if holder is not None and holder[1].startswith(KIND):
                    raise _second(holder[0]) from None
                manager.status(f"waiting: {error.message}")
                if not said:
                    log.trouble("daemon.waiting", error)
                    said = True
            else:
                return True
            manager.alive()
            house.clock.wait(_LOOK_AGAIN)
        return False


class _Ending:
    """While the state is waited for, SIGTERM and SIGINT say that it is not to be. They only set a flag: this thread may
    be in the middle of anything when one comes."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Self:
        signals = (signal.SIGTERM, signal.SIGINT)
        self._before = {one: signal.signal(one, self._ask) for one in signals}
        return self

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True

    def __exit__(self, *_: object) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)


def _second(pid: int) -> Busy:
    return Busy(
        f"A daemon works on this state already: process {pid}.",
        hint="One is enough. What it does: systemctl status rotator; or rotator status",
        code="second_daemon",
    )
