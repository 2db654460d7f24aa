"""The dice and the plain data behind the sandbox's weather."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rotator.sandbox.weather import Answer, Effect, Fault, Route, Sky, Weather, throttle


@pytest.mark.parametrize(
    "weather",
    [
        Weather.calm(),
        Weather.nasty(scale=0.1),
        Weather.calm().but(slow_routes=((Route.TOKEN, timedelta(seconds=2)),)),
    ],
)
def test_weather_survives_the_way_through_json(weather: Weather) -> None:
    assert Weather.from_json(weather.to_json()) == weather


@pytest.mark.parametrize(
    "fault", [throttle("-1"), throttle(timedelta(seconds=3)), Fault(Answer.DROP, Effect.LATE, code="x")]
)
def test_a_fault_survives_the_way_through_json(fault: Fault) -> None:
    assert Fault.from_json(fault.to_json()) == fault


def test_nasty_weather_leaves_most_requests_alone_and_has_every_kind_of_effect() -> None:
    faults = Weather.nasty().faults
    assert 0.1 < sum(rate for rate, _ in faults) < 0.5
    assert {fault.effect for _, fault in faults} == set(Effect)


def test_a_calm_day_has_no_faults() -> None:
    sky = Sky(Weather.calm(), "1")
    assert [sky.fault(Route.TOKEN, "app") for _ in range(200)] == [None] * 200


def test_nasty_dice_fall_the_same_for_the_same_seed() -> None:
    first, second, other = (Sky(Weather.nasty(), seed) for seed in ("1", "1", "2"))
    rolls = [[sky.fault(Route.TOKEN, "app") for _ in range(200)] for sky in (first, second, other)]
    assert rolls[0] == rolls[1] != rolls[2]
    assert any(rolls[0])


def test_what_one_application_meets_does_not_depend_on_another() -> None:
    alone, busy = Sky(Weather.nasty(), "1"), Sky(Weather.nasty(), "1")
    [busy.fault(Route.TOKEN, "other") for _ in range(50)]
    assert [alone.fault(Route.TOKEN, "app") for _ in range(50)] == [busy.fault(Route.TOKEN, "app") for _ in range(50)]


def test_a_queued_fault_meets_only_its_route_and_its_application_and_only_so_often() -> None:
    sky = Sky(Weather.calm(), "1")
    fault = Fault(Answer.DROP)
    sky.fail_next(Route.ADD_PASSWORD, fault, times=2, app_id="a")
    assert sky.fault(Route.TOKEN, "a") is None
    assert sky.fault(Route.ADD_PASSWORD, "b") is None
    assert [sky.fault(Route.ADD_PASSWORD, "a") for _ in range(3)] == [fault, fault, None]


def test_cleared_faults_are_met_by_nobody() -> None:
    sky = Sky(Weather.calm(), "1")
    sky.fail_next(Route.TOKEN, Fault(Answer.DROP))
    sky.clear()
    assert sky.fault(Route.TOKEN, "a") is None


def test_a_slow_route_is_slow_and_the_others_are_not() -> None:
    sky = Sky(Weather.calm().but(slow_routes=((Route.TOKEN, timedelta(seconds=9)),)), "1")
    assert sky.delay(Route.TOKEN, "a") == timedelta(seconds=9)
    assert sky.delay(Route.ADD_PASSWORD, "a") == timedelta(0)
