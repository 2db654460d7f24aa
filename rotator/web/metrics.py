"""Spells figures in the text format of Prometheus; it counts nothing itself, and no key id or value is in its reach.

Names and habits are those of cert-manager: moments are absolute Unix timestamps, never what is left, and every series
is there from the beginning, with 0 for what is not known yet. The many lines, which each credential has, are written
here: at 10,000 credentials prometheus-client 0.26 takes 0.4 s for them, ten times as long. All others it writes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import accumulate
from typing import Final, NamedTuple

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

OUTCOMES: Final = ("promoted", "abandoned", "parked")
"""How a rotation can end. That what it displaced was retired later is no second end."""

STEPS: Final = ("create", "stage", "verify", "promote", "undo", "retire")

OPERATIONS: Final = ("create", "list", "retire", "check")

CALL_OUTCOMES: Final = ("succeeded", "refused", "denied", "throttled", "failed", "unknown")
"""What became of a call to an issuer. failed: certainly not done; unknown: perhaps done, perhaps a little later."""

BOUNDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Seconds. A quick vendor takes half a second; one that has to learn of a new secret first may take its deadline."""


class Condition(StrEnum):
    """Whether consumers find a version that works, and nobody has to act."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Watched(NamedTuple):
    """One credential. expires_at: of the current version; rotates_at: when it is replaced; proved_at: its last proof.

    Moments are Unix timestamps, 0 where there is none.
    """

    name: str
    provider: str
    expires_at: float
    rotates_at: float
    proved_at: float
    ready: Condition


@dataclass(slots=True)
class Durations:
    """How long something took: how often at most as long as each bound, or longer, and seconds in all."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += max(seconds, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All that is told.

    rotations: ended so far, by outcome. steps: by name. calls: by provider, operation and outcome. orphans, parked: how
    many each provider has. records: the number of the last audit record. last_tick: None before the first one.
    reloaded: whether the configuration that was read last is the one in use.
    """

    version: str
    credentials: Sequence[Watched]
    providers: Sequence[str]
    rotations: Mapping[str, int]
    steps: Mapping[str, Durations]
    calls: Mapping[tuple[str, str, str], int]
    orphans: Mapping[str, int]
    parked: Mapping[str, int]
    records: int
    last_tick: datetime | None
    reloaded: bool


def render(figures: Figures) -> bytes:
    """Return the page that a scrape gets."""
    page = bytearray()
    for family in _many(figures.credentials):
        page += family.encode()  # one at a time: all their lines at once would take as much again as the page
    page += generate_latest(_Few(figures))
    return bytes(page)


# ------------------------------------------------------------------------------------------- what every credential has

_EXPIRES: Final = (
    "rotator_credential_expiration_timestamp_seconds",
    "When the current version stops working at its issuer, as a Unix timestamp; 0 when that is not known.",
)
_ROTATES: Final = (
    "rotator_credential_rotation_timestamp_seconds",
    "When the current version is replaced next, as a Unix timestamp; in the past when due; 0 when nothing is planned.",
)
_PROVED: Final = (
    "rotator_credential_last_success_timestamp_seconds",
    "When the current version last passed a proof, as a Unix timestamp; 0 when it never did.",
)
_READY: Final = (
    "rotator_credential_ready_status",
    "1 for the condition that holds. False: expired, parked, or its last proof was refused; Unknown: no version known.",
)


def _many(credentials: Sequence[Watched]) -> Iterator[str]:
    """Yield each family in one piece."""
    labels = [f'credential="{_escaped(one.name)}",provider="{_escaped(one.provider)}"' for one in credentials]
    yield _family(_EXPIRES, labels, (one.expires_at for one in credentials))
    yield _family(_ROTATES, labels, (one.rotates_at for one in credentials))
    yield _family(_PROVED, labels, (one.proved_at for one in credentials))
    words = [(condition, condition.value) for condition in Condition]
    yield _head(_READY) + "".join(
        f'{_READY[0]}{{{label},condition="{word}"}} {int(condition is one.ready)}\n'
        for label, one in zip(labels, credentials, strict=True)
        for condition, word in words
    )


def _family(said: tuple[str, str], labels: Sequence[str], values: Iterable[float]) -> str:
    name = said[0]
    lines = (f"{name}{{{label}}} {value:.3f}\n" for label, value in zip(labels, values, strict=True))
    return _head(said) + "".join(lines)


def _head(said: tuple[str, str]) -> str:
    return f"# HELP {said[0]} {said[1]}\n# TYPE {said[0]} gauge\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


# ------------------------------------------------------------------------------------------------------- all the rest


class _Few(Collector):
    """The figures whose number does not grow with that of the credentials. It makes no `_created` series."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield each family."""
        said = self._figures
        yield _counter("rotator_rotations", "Rotations that ended.", ["outcome"], said.rotations, OUTCOMES)
        yield self._steps()
        yield self._calls()
        yield _by_provider("rotator_orphans", "Versions with our label that nothing names.", said.orphans, said)
        yield _by_provider("rotator_credentials_parked", "Credentials that a person must act for.", said.parked, said)
        records = CounterMetricFamily("rotator_audit_records", "The number of the last audit record.")
        records.add_metric([], said.records)
        yield records
        tick = said.last_tick.timestamp() if said.last_tick is not None else 0
        yield GaugeMetricFamily(
            "rotator_scheduler_last_tick_timestamp_seconds",
            "When it was last looked for what is due, as a Unix timestamp.",
            tick,
        )
        yield GaugeMetricFamily(
            "rotator_config_last_reload_successful",
            "1 while the configuration that was read last is the one in use, 0 when it was refused.",
            int(said.reloaded),
        )
        build = GaugeMetricFamily("rotator_build_info", "1, with the version that runs.", labels=["version"])
        build.add_metric([said.version], 1)
        yield build

    def _steps(self) -> Metric:
        family = HistogramMetricFamily(
            "rotator_rotation_step_duration_seconds", "How long the steps of rotations took.", labels=["step"]
        )
        names = [*STEPS, *(one for one in self._figures.steps if one not in STEPS)]
        for step in names:
            took = self._figures.steps.get(step) or Durations()
            bounds = [*map(str, BOUNDS), "+Inf"]
            family.add_metric([step], list(zip(bounds, accumulate(took.counts), strict=True)), took.total)
        return family

    def _calls(self) -> Metric:
        family = CounterMetricFamily(
            "rotator_provider_requests",
            "Calls to issuers, by what became of them.",
            labels=["provider", "operation", "outcome"],
        )
        for provider in self._figures.providers:
            for operation in OPERATIONS:
                for outcome in CALL_OUTCOMES:
                    count = self._figures.calls.get((provider, operation, outcome), 0)
                    family.add_metric([provider, operation, outcome], count)
        return family


def _counter(name: str, said: str, labels: list[str], counts: Mapping[str, int], known: Sequence[str]) -> Metric:
    family = CounterMetricFamily(name, said, labels=labels)
    for label in [*known, *(one for one in counts if one not in known)]:
        family.add_metric([label], counts.get(label, 0))
    return family


def _by_provider(name: str, said: str, counts: Mapping[str, int], figures: Figures) -> Metric:
    family = GaugeMetricFamily(name, said, labels=["provider"])
    for provider in figures.providers:
        family.add_metric([provider], counts.get(provider, 0))
    return family
