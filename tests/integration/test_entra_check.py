"""`check` tells tonight's trouble today, in one line each, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.finding import Finding, Severity
from rotator.sandbox.weather import Answer, Effect, Fault, Route, Weather
from rotator.sandbox.world import ROTATOR, SecretPolicy
from tests.integration.entra_bench import APP, DAYS, TAG, EntraBench, entra_bench

SUBJECT = "kontrolle-plus-prod"
OURS = TAG.rsplit("/", 2)[0] + "/"
GRAPH = "https://graph.microsoft.com"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[EntraBench]:
    with entra_bench(tmp_path / "sandbox") as made:
        yield made
        assert [one for one in made.sandbox.directory.mutations() if one.by == ROTATOR and one.operation != "add"] == []


def findings(bench: EntraBench, lifetime: timedelta = DAYS) -> list[Finding]:
    return list(bench.provider.check(APP, lifetime, SUBJECT, OURS))


def one(found: list[Finding], check: str) -> Finding:
    (finding,) = (finding for finding in found if finding.check == check)
    return finding


def grant(bench: EntraBench, *roles: str) -> None:
    bench.sandbox.directory.change(ROTATOR, roles={GRAPH: roles})


def test_a_good_day_is_told_in_three_lines(bench: EntraBench) -> None:
    bench.sandbox.directory.change(APP, policy=SecretPolicy("p", timedelta(days=180)))
    bench.provider.create(APP, TAG, DAYS)
    found = findings(bench)
    assert {finding.outcome for finding in found} == {Severity.OK}
    login, clock, application = one(found, "login"), one(found, "clock"), one(found, "application")
    assert (login.subject, clock.subject, application.subject) == ("contoso", "contoso", SUBJECT)
    assert login.message == "token for Graph; Application.ReadWrite.OwnedBy"
    assert clock.message.startswith("the clock of 127.0.0.1 is ")
    assert application.message == (
        "application found, owned; 1 of 2 secrets ours, the first ends in 59 d; policy allows 180 d, you ask for 90 d"
    )
    assert len(found) == 3


def test_what_another_install_made_is_not_counted_as_ours(bench: EntraBench) -> None:
    bench.provider.create(APP, TAG.replace("i-1", "i-2"), DAYS)
    assert "0 of 2 secrets ours" in one(findings(bench), "application").message
    assert "0 of 2" in one(list(bench.provider.check(APP, DAYS, SUBJECT, "")), "application").message


def test_no_right_to_write_is_denied_and_the_right_is_named(bench: EntraBench) -> None:
    grant(bench, "Application.Read.All")
    login = one(findings(bench), "login")
    assert (login.outcome, login.exit_status) == (Severity.FAIL, 77)
    assert "only Application.Read.All" in login.message and "Application.ReadWrite.OwnedBy" in login.hint


def test_no_right_at_all_is_denied_twice_over(bench: EntraBench) -> None:
    grant(bench)
    found = findings(bench)
    assert "no app role" in one(found, "login").message
    assert one(found, "application").exit_status == 77


def test_an_application_that_is_not_owned_is_denied_and_the_principal_is_named(bench: EntraBench) -> None:
    bench.sandbox.directory.change(APP, owned=False)
    application = one(findings(bench), "application")
    assert (application.outcome, application.exit_status) == (Severity.FAIL, 77)
    assert bench.sandbox.directory.app(ROTATOR).principal_id in application.hint


def test_an_owner_on_a_later_page_is_found(bench: EntraBench) -> None:
    bench.sandbox.set_weather(Weather.calm().but(page_size=1))
    assert "owned" in one(findings(bench), "application").message
    assert bench.seen(Route.OWNERS) == 2


def test_a_next_page_elsewhere_is_not_asked_for(bench: EntraBench) -> None:
    bench.provider.list(APP)
    bench.sandbox.set_weather(Weather.calm().but(page_size=1))
    bench.sandbox.identity.base_url = bench.sandbox.base_url.replace("127.0.0.1", "localhost")
    application = one(findings(bench), "application")
    assert (application.outcome, application.exit_status) == (Severity.FAIL, 69)
    assert "elsewhere" in application.message
    assert bench.seen(Route.OWNERS) == 1


def test_with_the_right_to_all_applications_nobody_asks_for_owners(bench: EntraBench) -> None:
    grant(bench, "Application.ReadWrite.All")
    bench.sandbox.directory.change(APP, owned=False)
    assert one(findings(bench), "application").outcome is Severity.OK
    assert bench.seen(Route.OWNERS) == 0


def test_an_application_that_does_not_exist_fails(bench: EntraBench) -> None:
    found = list(bench.provider.check("7f3c0c52-0000-4000-8000-00000000dead", DAYS, SUBJECT, OURS))
    application = one(found, "application")
    assert application.outcome is Severity.FAIL and "provider.app_id" in application.hint


def test_a_disabled_application_fails(bench: EntraBench) -> None:
    bench.sandbox.directory.change(APP, disabled=True)
    assert one(findings(bench), "application").message == "the application is disabled"


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_cloud_without_federated_credentials_fails_nothing_and_hides_no_policy(
    bench: EntraBench, status: int
) -> None:
    rule(bench, "tenant", SecretPolicy("p", timedelta(days=30)))
    refusal = Fault(Answer.ERROR, Effect.NONE, status, code="Request_Refused")
    bench.sandbox.fail_next(Route.FEDERATED, refusal, app_id=APP)
    found = findings(bench)
    assert one(found, "federated").outcome is Severity.SKIP
    assert "allows 30 d" in one(found, "policy").message


@pytest.mark.parametrize("whose", ["application", "tenant"])
def test_a_policy_that_allows_less_than_we_ask_is_our_configuration(bench: EntraBench, whose: str) -> None:
    rule(bench, whose, SecretPolicy("p", timedelta(days=30)))
    policy = one(findings(bench), "policy")
    assert (policy.outcome, policy.exit_status) == (Severity.FAIL, 78)
    assert policy.message == "an app management policy allows 30 d, you ask for 90 d"


@pytest.mark.parametrize("whose", ["application", "tenant"])
def test_a_policy_that_forbids_secrets_fails(bench: EntraBench, whose: str) -> None:
    rule(bench, whose, SecretPolicy("p", secrets_allowed=False))
    assert "forbids" in one(findings(bench), "policy").message


def rule(bench: EntraBench, whose: str, policy: SecretPolicy) -> None:
    if whose == "application":
        bench.sandbox.directory.change(APP, policy=policy)
    else:
        bench.sandbox.directory.world = replace(bench.sandbox.directory.world, tenant_policy=policy)


def test_the_applications_own_policy_goes_before_the_tenants(bench: EntraBench) -> None:
    rule(bench, "tenant", SecretPolicy("t", timedelta(days=7)))
    rule(bench, "application", SecretPolicy("a", timedelta(days=120)))
    assert "policy allows 120 d, you ask for 90 d" in one(findings(bench), "application").message


def test_policies_that_cannot_be_read_are_told_so_and_are_no_fault(bench: EntraBench) -> None:
    grant(bench, "Application.ReadWrite.OwnedBy")
    application = one(findings(bench), "application")
    assert application.outcome is Severity.OK
    assert "policies cannot be read without Policy.Read.All; you ask for 90 d" in application.message


def test_two_places_taken_by_others_fail_and_by_ours_warn(bench: EntraBench) -> None:
    bench.sandbox.directory.change(APP, personal=True)
    assert "one of two places is free" in one(findings(bench), "application").message
    bench.provider.create(APP, TAG, DAYS)
    assert one(findings(bench), "slots").outcome is Severity.FAIL
    portal = next(item for item in bench.sandbox.directory.live(APP) if item.display_name != TAG)
    bench.sandbox.directory.remove(APP, portal.key_id)
    bench.provider.create(APP, f"{TAG}b", DAYS)
    assert one(findings(bench), "slots").outcome is Severity.WARN


@pytest.mark.parametrize("skew", [timedelta(minutes=4), timedelta(minutes=6), timedelta(minutes=-6)])
def test_a_clock_more_than_five_minutes_off_fails(bench: EntraBench, skew: timedelta) -> None:
    bench.provider.list(APP)
    bench.sandbox.set_weather(Weather.calm().but(skew=skew))
    clock = one(findings(bench), "clock")
    wrong = abs(skew) > timedelta(minutes=5)
    assert (clock.outcome, clock.exit_status) == (Severity.FAIL if wrong else Severity.OK, 75)


def test_a_tenant_that_does_not_exist_is_one_finding_with_exit_status_78(bench: EntraBench) -> None:
    provider = bench.another(tenant="99999999-0000-4000-8000-000000000000")
    (login,) = provider.check(APP, DAYS, SUBJECT, OURS)
    provider.close()
    assert (login.subject, login.check, login.outcome, login.exit_status) == ("contoso", "login", Severity.FAIL, 78)


@pytest.mark.parametrize("route", [Route.TOKEN, Route.READ_APPLICATION, Route.OWNERS, Route.POLICY])
def test_what_cannot_be_asked_is_a_finding_with_exit_status_69(bench: EntraBench, route: Route) -> None:
    bench.sandbox.fail_next(route, Fault(Answer.ERROR, Effect.NONE, 503))
    failed = [finding for finding in findings(bench) if finding.outcome is Severity.FAIL]
    assert [finding.exit_status for finding in failed] == [69]
