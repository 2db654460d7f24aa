"""The companion that serves metrics and health, and the file of metrics of a run without a daemon. It decides nothing.

Metrics are not worth an outage: where the port is taken, the daemon says so and goes on.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from rotator.app.figures import Gatherer, Pulse
from rotator.app.readiness import Readiness
from rotator.errors import Misconfigured, RotatorError
from rotator.persistence.figures import NONE_YET, Last
from rotator.web.health import Ailment
from rotator.web.metrics import render

if TYPE_CHECKING:
    from rotator.app.house import House
    from rotator.web.server import WebServer

FILE_VARIABLE: Final = "ROTATOR_METRICS_FILE"
"""Names the file that a run without a daemon leaves its metrics in."""


class Loop(Protocol):
    """The working loop, as the daemon knows it. Every call returns at once."""

    def pulse(self) -> Pulse:
        """Return when it last looked for what is due, and whether the last reload was good."""

    def stuck(self) -> str | None:
        """Return None while the loop lives, else what is wrong, as a sentence."""

    def unwritable(self) -> str | None:
        """Return None while the state can be written, as far as the loop knows, else what is wrong, as a sentence."""


class Serving:
    """Serves `/metrics`, `/healthz` and `/readyz` where `service.listen` says."""

    name = "web"

    def __init__(self, house: House, loop: Loop) -> None:
        self._house, self._loop = house, loop
        self._gatherer = Gatherer(house)
        self._readiness = Readiness(house, self._unwritable)
        self._server: WebServer | None = None

    def start(self) -> None:
        """Serve, or do nothing where there is no address. Raises Misconfigured when the address cannot be had."""
        self._gatherer = Gatherer(self._house, _end_of_records(self._house))
        if self._house.config.service.listen is not None:
            self._server = self._serving(self._house.config.service.listen)

    def stop(self) -> None:
        """End."""
        if self._server is not None:
            self._server.stop()
        self._readiness.close()

    def reloaded(self, house: House) -> None:
        """Tell of the new configuration from now on; counts go on.

        Raises Misconfigured when its address cannot be had; then the old one is served on.
        """
        house.calls = self._house.calls
        self._house = house
        self._gatherer = self._gatherer.moved(house)
        self._readiness.close()
        self._readiness = Readiness(house, self._unwritable)
        address, old = house.config.service.listen, self._server
        if old is not None and old.address == address and old.alive:
            return
        self._server = self._serving(address) if address is not None else None
        if old is not None:
            old.stop()

    def beat(self) -> str | None:
        """Return what is wrong with the service."""
        listen = self._house.config.service.listen
        if listen is None or (self._server is not None and self._server.alive):
            return None
        return f"nothing is served on {listen}"

    @property
    def port(self) -> int | None:
        """Return the TCP port that is served, None where there is none."""
        return self._server.port if self._server is not None else None

    def _serving(self, address: str) -> WebServer:
        from rotator.web.server import Pages, WebServer

        pages = Pages(
            metrics=lambda: render(self._gatherer.gather(self._loop.pulse())),
            alive=self._alive,
            ready=lambda: [*self._alive(), *self._readiness.look()],
        )
        server = WebServer(address, pages)
        server.start()
        return server

    def _alive(self) -> Sequence[Ailment]:
        wrong = self._loop.stuck()
        return [] if wrong is None else [Ailment("loop_stuck", wrong, "systemd restarts it; see its log.")]

    def _unwritable(self) -> Ailment | None:
        wrong = self._loop.unwritable()
        return None if wrong is None else Ailment("state_unwritable", wrong, "See its log, and mend the state.")


def _end_of_records(house: House) -> Last:
    """Return from where to count; from the first record on where there is none yet, or it cannot be read now."""
    with contextlib.suppress(RotatorError), house.builder.reader(house.database, house.clock) as reader:
        return reader.last()
    return NONE_YET


# ------------------------------------------------------------------------------------------------- without a daemon


def metrics_file(house: House) -> Path | None:
    """Return the file that `$ROTATOR_METRICS_FILE` names, or None."""
    named = house.environ.get(FILE_VARIABLE)
    return Path(named) if named else None


def write_metrics_file(house: House, path: Path, *, reloaded: bool = True) -> None:
    """Leave the metrics of a run that ends now in a file, for the textfile collector of node_exporter.

    Whoever reads sees the old file or the new one. Counts are of all that the records hold, but for the calls to
    issuers, which are those of this run. Raises Misconfigured when the file cannot be written, and as a scrape does.
    """
    page = render(Gatherer(house).gather(Pulse(house.clock.now(), reloaded)))
    try:
        _replace(path, page)
    except OSError as error:
        raise Misconfigured(
            f"Cannot write the metrics to {path}: {error.strerror}.",
            hint=f"Let this user write in {path.parent}, or unset {FILE_VARIABLE}; rotations do not need it.",
            code="metrics_file",
        ) from None


def _replace(path: Path, page: bytes) -> None:
    """Put a file in the place of another, readable for all. Its name ends otherwise until it is whole."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(page)
            os.fchmod(file.fileno(), 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
