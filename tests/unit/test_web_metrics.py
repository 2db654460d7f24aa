"""The page that a scrape gets, read by the parser of Prometheus' own client library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from rotator.web.health import Ailment, answer
from rotator.web.metrics import (
    BOUNDS,
    CALL_OUTCOMES,
    OPERATIONS,
    OUTCOMES,
    STEPS,
    Condition,
    Durations,
    Figures,
    Watched,
    render,
)

NONE = Figures(
    version="1.2.3",
    credentials=(),
    providers=("contoso",),
    rotations={},
    steps={},
    calls={},
    orphans={},
    parked={},
    records=0,
    last_tick=None,
    reloaded=True,
)
ONE = Watched("kontrolle", "contoso", 1796000000.25, 1793000000.0, 1791000000.0, Condition.TRUE)

CONTRACT = {
    "rotator_credential_expiration_timestamp_seconds": "gauge",
    "rotator_credential_rotation_timestamp_seconds": "gauge",
    "rotator_credential_ready_status": "gauge",
    "rotator_credential_last_success_timestamp_seconds": "gauge",
    "rotator_rotations": "counter",
    "rotator_rotation_step_duration_seconds": "histogram",
    "rotator_provider_requests": "counter",
    "rotator_orphans": "gauge",
    "rotator_credentials_parked": "gauge",
    "rotator_audit_records": "counter",
    "rotator_scheduler_last_tick_timestamp_seconds": "gauge",
    "rotator_config_last_reload_successful": "gauge",
    "rotator_build_info": "gauge",
}


def parsed(figures: Figures) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(render(figures).decode())}


def samples(figures: Figures) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in parsed(figures).values()
        for one in family.samples
    }


def value(figures: Figures, name: str, labels: Mapping[str, str] | None = None) -> float:
    return samples(figures)[name, frozenset((labels or {}).items())]


def test_every_metric_of_the_contract_is_there_from_the_beginning_and_no_other() -> None:
    assert {name: family.type for name, family in parsed(NONE).items()} == CONTRACT
    assert all(family.documentation for family in parsed(NONE).values())


def test_no_series_tells_when_a_counter_was_made() -> None:
    busy = replace(NONE, rotations={"promoted": 3}, steps={"create": Durations()})
    assert not [name for name, _ in samples(busy) if name.endswith("_created")]


def test_what_has_not_happened_yet_is_counted_as_nothing() -> None:
    found = samples(NONE)
    assert {labels for name, labels in found if name == "rotator_rotations_total"} == {
        frozenset({("outcome", outcome)}) for outcome in OUTCOMES
    }
    assert {value for (name, _), value in found.items() if name == "rotator_rotations_total"} == {0}
    calls = [name for name, _ in found if name == "rotator_provider_requests_total"]
    assert len(calls) == len(OPERATIONS) * len(CALL_OUTCOMES)
    assert {dict(labels)["step"] for name, labels in found if name.endswith("seconds_count")} == set(STEPS)


def test_moments_are_absolute_and_to_the_millisecond() -> None:
    figures = replace(NONE, credentials=(ONE,), last_tick=datetime(2026, 11, 26, tzinfo=UTC))
    labels = {"credential": "kontrolle", "provider": "contoso"}
    assert value(figures, "rotator_credential_expiration_timestamp_seconds", labels) == 1796000000.25
    assert value(figures, "rotator_credential_rotation_timestamp_seconds", labels) == 1793000000
    assert value(figures, "rotator_credential_last_success_timestamp_seconds", labels) == 1791000000
    assert value(figures, "rotator_scheduler_last_tick_timestamp_seconds") == 1795651200
    assert value(NONE, "rotator_scheduler_last_tick_timestamp_seconds") == 0


@pytest.mark.parametrize("condition", list(Condition))
def test_exactly_one_condition_holds(condition: Condition) -> None:
    found = samples(replace(NONE, credentials=(ONE._replace(ready=condition),)))
    held = {dict(labels)["condition"]: value for (name, labels), value in found.items() if name.endswith("_status")}
    assert held == {one.value: float(one is condition) for one in Condition}


def test_a_name_that_only_an_attacker_would_choose_does_not_break_the_page() -> None:
    odd = 'x"} 1\nrotator_fake 1 # \\'
    found = samples(replace(NONE, credentials=(ONE._replace(provider=odd),)))
    assert {dict(labels)["provider"] for name, labels in found if name.endswith("expiration_timestamp_seconds")} == {
        odd
    }
    assert "rotator_fake" not in {name for name, _ in found}


def test_a_duration_is_counted_at_its_bound_and_at_every_longer_one() -> None:
    took = Durations()
    for seconds in (0.05, BOUNDS[2], 7200.0):
        took.add(seconds)
    found = samples(replace(NONE, steps={"verify": took}))
    counts = {
        dict(labels)["le"]: value
        for (name, labels), value in found.items()
        if name.endswith("_bucket") and ("step", "verify") in labels
    }
    assert counts["0.1"] == 1
    assert counts["0.25"] == 1
    assert counts[str(BOUNDS[2])] == 2
    assert counts["3600.0"] == 2
    assert counts["+Inf"] == 3
    of_verify = frozenset({("step", "verify")})
    assert found["rotator_rotation_step_duration_seconds_count", of_verify] == 3
    assert found["rotator_rotation_step_duration_seconds_sum", of_verify] == pytest.approx(7200.55)


def test_a_clock_that_was_put_back_takes_nothing_from_a_sum() -> None:
    took = Durations()
    took.add(-5.0)
    assert (took.total, sum(took.counts)) == (0.0, 1)


def test_a_step_or_an_outcome_that_is_new_is_told_too() -> None:
    found = samples(replace(NONE, rotations={"other": 2}, steps={"regenerate": Durations()}))
    assert found["rotator_rotations_total", frozenset({("outcome", "other")})] == 2
    assert ("rotator_rotation_step_duration_seconds_count", frozenset({("step", "regenerate")})) in found


def test_calls_orphans_and_the_parked_are_told_by_provider() -> None:
    figures = replace(
        NONE, calls={("contoso", "create", "unknown"): 2}, orphans={"contoso": 3}, parked={"contoso": 4}, records=99
    )
    asked = {"provider": "contoso", "operation": "create", "outcome": "unknown"}
    assert value(figures, "rotator_provider_requests_total", asked) == 2
    assert value(figures, "rotator_orphans", {"provider": "contoso"}) == 3
    assert value(figures, "rotator_credentials_parked", {"provider": "contoso"}) == 4
    assert value(figures, "rotator_audit_records_total") == 99
    assert value(figures, "rotator_build_info", {"version": "1.2.3"}) == 1


def test_a_refused_reload_is_told() -> None:
    assert value(NONE, "rotator_config_last_reload_successful") == 1
    assert value(replace(NONE, reloaded=False), "rotator_config_last_reload_successful") == 0


def test_the_number_of_series_follows_from_the_configuration_alone() -> None:
    many = tuple(ONE._replace(name=f"one-{number}") for number in range(50))
    quiet, busy = replace(NONE, credentials=many), Durations()
    for seconds in range(1000):
        busy.add(seconds)
    loud = replace(
        quiet,
        rotations=dict.fromkeys(OUTCOMES, 9),
        steps=dict.fromkeys(STEPS, busy),
        calls={("contoso", operation, outcome): 7 for operation in OPERATIONS for outcome in CALL_OUTCOMES},
    )
    assert samples(loud).keys() == samples(quiet).keys()
    assert len(samples(quiet)) - len(samples(NONE)) == 50 * (3 + len(Condition))


def test_all_is_well_in_one_word() -> None:
    status, said = answer([])
    assert (status, json.loads(said)) == (200, {"status": "ok", "reasons": []})


def test_each_thing_that_is_not_well_is_a_reason_with_what_to_do() -> None:
    status, said = answer([Ailment("sealed", "Vault is sealed.", "Unseal it."), Ailment("stopping", "It ends.")])
    assert status == 503
    assert json.loads(said) == {
        "status": "unavailable",
        "reasons": [
            {"code": "sealed", "message": "Vault is sealed.", "hint": "Unseal it."},
            {"code": "stopping", "message": "It ends.", "hint": None},
        ],
    }
