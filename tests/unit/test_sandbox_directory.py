"""The sandbox's truth and rules, on a clock that the tests move."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rotator.clock import ManualClock
from rotator.sandbox.directory import Directory, Rejected
from rotator.sandbox.records import HeldSecret
from rotator.sandbox.weather import Sky, Weather
from rotator.sandbox.world import KONTROLLE_PROD, SITE_REPORTS_PROD, SecretPolicy, demo_world

APP = KONTROLLE_PROD
HOUR = timedelta(hours=1)


def build(weather: Weather | None = None, seed: str = "7") -> tuple[Directory, ManualClock]:
    clock = ManualClock()
    return Directory(demo_world(), Sky(weather or Weather.calm(), seed), clock), clock


def add(directory: Directory, app_id: str = APP, tag: str = "t", lifetime: timedelta = HOUR) -> HeldSecret:
    return directory.add(app_id, display_name=tag, expires_at=directory.now() + lifetime, by="tester")


def test_a_secret_has_forty_characters_of_every_legal_class() -> None:
    directory, _ = build()
    texts = [add(directory, tag=str(n)).text for n in range(40)]
    for text in texts:
        assert len(text) == 40
        assert set("~._-") <= set(text)
        assert any(c.isupper() for c in text) and any(c.islower() for c in text) and any(c.isdigit() for c in text)
    assert {"-", "~"} <= {text[0] for text in texts}
    assert len(set(texts)) == 40


def test_the_same_seed_gives_the_same_secrets_whatever_other_applications_do_meanwhile() -> None:
    alone, _ = build()
    busy, _ = build()
    add(busy, SITE_REPORTS_PROD)
    assert add(alone).text == add(busy).text
    assert add(build(seed="8")[0]).text != add(build()[0]).text


def test_no_repr_shows_a_value() -> None:
    directory, _ = build()
    secret = add(directory)
    assert secret.text not in repr(secret)
    assert secret.text not in repr(directory.truth(APP))


def test_every_replica_learns_of_a_fresh_secret_at_its_own_time() -> None:
    directory, clock = build(Weather.calm().but(replicas=3, fresh_lag=timedelta(seconds=60)))
    secret = add(directory)
    assert len(set(secret.known_at)) == 3
    assert directory.authenticates(APP, secret.text)
    clock.advance(sorted(secret.known_at)[1] - clock.now())
    answers = {directory.recognise(APP, secret.text)[0] is not None for _ in range(50)}
    assert answers == {True, False}
    clock.advance(timedelta(seconds=60))
    assert all(directory.recognise(APP, secret.text)[0] for _ in range(50))


def test_a_slow_application_refuses_its_fresh_secret_for_a_while_even_on_a_calm_day() -> None:
    directory, clock = build()
    secret = add(directory, SITE_REPORTS_PROD)
    assert directory.recognise(SITE_REPORTS_PROD, secret.text)[0] is None
    clock.advance(timedelta(seconds=8))
    assert directory.recognise(SITE_REPORTS_PROD, secret.text)[0] == secret


def test_a_removed_secret_may_linger_on_one_replica_but_is_dead_in_truth() -> None:
    weather = Weather.calm().but(replicas=3, linger=timedelta(minutes=65), linger_rate=1.0)
    directory, clock = build(weather)
    secret = add(directory)
    directory.remove(APP, secret.key_id)
    assert not directory.authenticates(APP, secret.text)
    assert {directory.recognise(APP, secret.text)[0] is not None for _ in range(60)} == {True, False}
    clock.advance(timedelta(minutes=65))
    assert not any(directory.recognise(APP, secret.text)[0] for _ in range(60))


def test_a_read_may_show_the_state_of_a_moment_ago() -> None:
    directory, clock = build(Weather.calm().but(stale_list=timedelta(seconds=10)))
    clock.advance(timedelta(minutes=1))
    secret = add(directory)
    clock.advance(timedelta(seconds=5))
    seen = {any(item.key_id == secret.key_id for item in directory.listed(APP)) for _ in range(60)}
    assert seen == {True, False}
    clock.advance(timedelta(seconds=6))
    assert all(any(item.key_id == secret.key_id for item in directory.listed(APP)) for _ in range(60))


def test_a_ghost_takes_effect_only_after_its_delay_and_at_its_own_time() -> None:
    directory, clock = build(Weather.calm().but(ghost_delay=timedelta(seconds=30)))
    start = clock.now()
    directory.postpone(lambda: add(directory, tag="ghost"))
    clock.advance(timedelta(seconds=29))
    assert len(directory.truth(APP)) == 1
    clock.advance(timedelta(seconds=60))
    assert [item.created_at - start for item in directory.truth(APP)][1] == timedelta(seconds=30)


def test_a_personal_account_application_takes_two_secrets_and_no_more() -> None:
    directory, _ = build()
    directory.change(APP, personal=True)
    add(directory)
    with pytest.raises(Rejected, match="maximum of 2"):
        add(directory)


def test_a_policy_caps_the_lifetime_and_another_forbids_secrets() -> None:
    directory, _ = build()
    directory.change(APP, policy=SecretPolicy("p", max_lifetime=timedelta(minutes=30)))
    with pytest.raises(Rejected) as long:
        add(directory)
    assert long.value.code == "CredentialInvalidLifetimeAsPerAppPolicy"
    add(directory, lifetime=timedelta(minutes=30))
    directory.change(APP, policy=SecretPolicy("p", secrets_allowed=False))
    with pytest.raises(Rejected) as forbidden:
        add(directory, lifetime=timedelta(minutes=1))
    assert forbidden.value.code == "CredentialTypeNotAllowedAsPerAppPolicy"


def test_an_issuer_may_grant_less_than_was_asked() -> None:
    directory, _ = build()
    directory.change(APP, grants_at_most=timedelta(minutes=10))
    assert add(directory).expires_at - directory.now() == timedelta(minutes=10)


def test_the_issuers_clock_can_be_ahead_of_ours() -> None:
    directory, clock = build(Weather.calm().but(skew=timedelta(minutes=7)))
    assert directory.now() - clock.now() == timedelta(minutes=7)
    assert add(directory).starts_at == directory.now()


def test_removing_twice_is_refused_in_graphs_words() -> None:
    directory, _ = build()
    secret = add(directory)
    directory.remove(APP, secret.key_id.upper())
    with pytest.raises(Rejected, match="No password credential found with keyId"):
        directory.remove(APP, secret.key_id)


def test_every_change_is_in_the_log_with_its_author() -> None:
    directory, _ = build()
    secret = add(directory, tag="rotator/a/b/c/1")
    directory.remove(APP, secret.key_id, by="somebody")
    told = [(item.operation, item.display_name, item.by) for item in directory.mutations(APP)]
    assert told == [
        ("add", "made in the portal", "portal"),
        ("add", "rotator/a/b/c/1", "tester"),
        ("remove", "rotator/a/b/c/1", "somebody"),
    ]


def test_dump_and_load_keep_every_secret() -> None:
    before, _ = build()
    removed = add(before)
    add(before)
    before.remove(APP, removed.key_id)
    after, _ = build(seed="other")
    after.load(before.dump())
    assert after.truth(APP) == before.truth(APP)
