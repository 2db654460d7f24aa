"""The Entra provider does its work against real TLS with the real libraries, and the issuer's truth agrees."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.clock import SystemClock, elapsed
from rotator.errors import Busy, Denied, Misconfigured, NoFreeSlot, OutcomeUnknown, Refused, RotatorError, Transient
from rotator.ports import Answer as Proved
from rotator.ports import Retired
from rotator.provers.client_credentials import ClientCredentialsProver
from rotator.provers.request import ProofRequest
from rotator.sandbox.weather import Answer, Effect, Fault, Route, Weather
from rotator.sandbox.world import KONTROLLE_TRAINING, ROTATOR, SecretPolicy, demo_world, rotator_app
from tests.integration.entra_bench import APP, DAYS, TAG, EntraBench, by_secret, entra_bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[EntraBench]:
    with entra_bench(tmp_path / "sandbox") as made:
        yield made


def test_importing_the_provider_imports_neither_library() -> None:
    program = (
        "import sys; import rotator.providers.entra;"
        "print(*{name.partition('.')[0] for name in sys.modules} & {'msgraph', 'azure', 'msal', 'httpx', 'aiohttp'})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_created_secret_works_and_is_told_as_it_is(bench: EntraBench) -> None:
    issued = bench.provider.create(APP, TAG, DAYS)
    (truth,) = bench.tagged()
    value = issued.values.secret("client_secret")
    assert value is not None and bench.sandbox.directory.authenticates(APP, value.reveal())
    assert issued.version.key_id == truth.key_id
    assert (issued.version.tag, issued.client_id) == (TAG, APP)
    assert issued.version.expires_at == truth.expires_at
    assert issued.version.created_at == truth.starts_at
    assert issued.issuer_now is not None and issued.request_id is not None
    assert timedelta(0) <= truth.starts_at + DAYS - truth.expires_at < timedelta(seconds=3)


def test_a_list_shows_all_secrets_foreign_ones_too(bench: EntraBench) -> None:
    issued = bench.provider.create(APP, TAG, DAYS)
    listing = bench.provider.list(APP)
    assert {(one.key_id, one.tag, one.expires_at) for one in listing.versions} == {
        (one.key_id, one.display_name, one.expires_at) for one in bench.sandbox.directory.live(APP)
    }
    assert issued.version in listing.versions
    assert listing.issuer_now is not None and listing.free_slots is None


def test_a_retired_secret_is_gone_and_others_stay(bench: EntraBench) -> None:
    issued = bench.provider.create(APP, TAG, DAYS)
    assert bench.provider.retire(APP, issued.version.key_id) is Retired.DONE
    assert [one.display_name for one in bench.sandbox.directory.live(APP)] == ["made in the portal"]
    assert bench.provider.retire(APP, issued.version.key_id) is Retired.ALREADY_GONE


def test_an_application_may_be_named_by_its_object_id(bench: EntraBench) -> None:
    name = f"object:{bench.sandbox.directory.app(APP).object_id}"
    issued = bench.provider.create(name, TAG, DAYS)
    assert issued.client_id == APP
    assert bench.provider.retire(name, issued.version.key_id.upper()) is Retired.DONE
    assert bench.tagged() == []


@pytest.mark.parametrize("name", ["", "x", "../applications", f"{APP}/owners", f"object:{APP}?x", f"app:{APP}"])
def test_a_name_that_is_no_id_is_refused_before_anything_is_sent(bench: EntraBench, name: str) -> None:
    for call in (
        lambda: bench.provider.create(name, TAG, DAYS),
        lambda: bench.provider.list(name),
        lambda: bench.provider.retire(name, APP),
    ):
        with pytest.raises(Misconfigured) as caught:
            call()
        assert caught.value.code == "bad_application"
    assert bench.provider.check(name, DAYS, "kontrolle", "")[0].exit_status == 78
    assert bench.sandbox.directory.requests() == []


def test_a_key_id_that_is_no_guid_is_refused_before_anything_is_sent(bench: EntraBench) -> None:
    with pytest.raises(Refused, match="GUID"):
        bench.provider.retire(APP, "not-a-guid")
    assert bench.sandbox.directory.requests() == []


def test_object_id_and_token_are_asked_for_once(bench: EntraBench) -> None:
    for number in range(3):
        bench.provider.create(APP, f"{TAG}{number}", DAYS)
    assert (bench.seen(Route.TOKEN, ROTATOR), bench.seen(Route.READ_APPLICATION)) == (1, 1)


def test_twenty_threads_at_once_share_one_login(bench: EntraBench) -> None:
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: bench.provider.list(APP), range(20)))
    assert bench.seen(Route.TOKEN, ROTATOR) == 1


# ------------------------------------------------------------------------------------------------------ several at once


def test_writes_to_one_application_never_overlap(bench: EntraBench) -> None:
    bench.sandbox.set_weather(Weather.calm().but(write_time=timedelta(milliseconds=100)))
    with ThreadPoolExecutor(6) as pool:  # the sandbox answers 409 to an overlap
        issued = list(pool.map(lambda number: bench.provider.create(APP, f"{TAG}{number}", DAYS), range(6)))
    assert len({one.version.key_id for one in issued}) == 6
    assert {seen.status for seen in bench.sandbox.directory.requests(APP, "add_password")} == {200}


def test_writes_to_different_applications_go_side_by_side(bench: EntraBench) -> None:
    bench.sandbox.set_weather(Weather.calm().but(write_time=timedelta(seconds=1)))
    for app in (APP, KONTROLLE_TRAINING):
        bench.provider.list(app)
    clock = SystemClock()
    begun = clock.instant()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda app: bench.provider.create(app, TAG, DAYS), (APP, KONTROLLE_TRAINING)))
    took = elapsed(begun, clock.instant())
    assert took is not None and took < timedelta(seconds=1.9)


def test_writes_to_one_application_are_spaced_and_reads_are_not_held_up(bench: EntraBench) -> None:
    provider, clock = bench.another(spacing=timedelta(seconds=1)), SystemClock()
    provider.create(APP, TAG, DAYS)
    second = threading.Thread(target=provider.create, args=(APP, f"{TAG}b", DAYS))
    begun = clock.instant()
    second.start()
    provider.list(APP)
    read = elapsed(begun, clock.instant())
    second.join()
    provider.close()
    first, last = (item.at for item in bench.sandbox.directory.mutations(APP) if item.by == ROTATOR)
    assert last - first >= timedelta(seconds=1)
    assert read is not None and read < timedelta(milliseconds=900)


def test_who_cannot_have_the_turn_in_time_sends_nothing(bench: EntraBench) -> None:
    provider = bench.another(deadline=timedelta(seconds=2), spacing=timedelta(seconds=30))
    provider.create(APP, TAG, DAYS)
    with pytest.raises(Busy):
        provider.create(APP, f"{TAG}b", DAYS)
    provider.close()
    assert bench.seen(Route.ADD_PASSWORD) == 1


# --------------------------------------------------------------------------------------------------------- rules there


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (SecretPolicy("11111111-0000-4000-8000-000000000001", timedelta(days=30)), "lifetime_not_allowed"),
        (SecretPolicy("11111111-0000-4000-8000-000000000001", secrets_allowed=False), "secrets_forbidden"),
    ],
)
def test_a_policy_that_forbids_it_is_named(bench: EntraBench, policy: SecretPolicy, code: str) -> None:
    bench.sandbox.directory.change(APP, policy=policy)
    with pytest.raises(Refused, match="11111111-0000-4000-8000-000000000001") as caught:
        bench.provider.create(APP, TAG, DAYS)
    assert caught.value.code == code
    assert bench.tagged() == []


@pytest.mark.parametrize("skew", [timedelta(0), timedelta(minutes=3), timedelta(minutes=-3)])
def test_exactly_what_the_policy_allows_is_asked_whatever_our_clock_says(bench: EntraBench, skew: timedelta) -> None:
    bench.sandbox.set_weather(Weather.calm().but(skew=skew))
    bench.sandbox.directory.change(APP, policy=SecretPolicy("p", DAYS))
    issued = bench.provider.create(APP, TAG, DAYS)
    assert issued.version.expires_at is not None and issued.version.created_at is not None
    assert timedelta(0) <= issued.version.created_at + DAYS - issued.version.expires_at < timedelta(seconds=3)


def test_less_than_was_asked_is_told(bench: EntraBench) -> None:
    bench.sandbox.directory.change(APP, grants_at_most=timedelta(days=7))
    issued = bench.provider.create(APP, TAG, DAYS)
    assert issued.version.expires_at == bench.tagged()[0].expires_at


def test_an_application_for_personal_accounts_has_two_places(bench: EntraBench) -> None:
    bench.sandbox.directory.change(APP, personal=True)
    assert bench.provider.list(APP).free_slots == 1
    bench.provider.create(APP, TAG, DAYS)
    assert bench.provider.list(APP).free_slots == 0
    with pytest.raises(NoFreeSlot, match="two secrets"):
        bench.provider.create(APP, f"{TAG}b", DAYS)
    assert len(bench.sandbox.directory.live(APP)) == 2


def test_a_full_application_object_has_no_free_place(bench: EntraBench) -> None:
    bench.sandbox.directory.change(APP, max_secrets=1)
    with pytest.raises(NoFreeSlot):
        bench.provider.create(APP, TAG, DAYS)
    assert bench.tagged() == []


def test_an_application_that_is_not_ours_is_denied_and_the_owners_are_named(bench: EntraBench) -> None:
    key_id = bench.sandbox.directory.live(APP)[0].key_id
    bench.sandbox.directory.change(APP, owned=False)
    for call in (lambda: bench.provider.create(APP, TAG, DAYS), lambda: bench.provider.retire(APP, key_id)):
        with pytest.raises(RotatorError) as caught:
            call()
        assert (caught.value.code, caught.value.exit_status) == ("denied", 77)
        assert "Application.ReadWrite.OwnedBy" in caught.value.hint and "owner" in caught.value.hint
    assert len(bench.sandbox.directory.live(APP)) == 1


def test_a_right_granted_meanwhile_is_used_at_once(bench: EntraBench) -> None:
    roles = bench.sandbox.directory.app(ROTATOR).roles
    bench.sandbox.directory.change(ROTATOR, roles={})
    with pytest.raises(RotatorError, match="403"):
        bench.provider.list(APP)
    bench.sandbox.directory.change(ROTATOR, roles=roles)
    assert bench.provider.list(APP).versions


def test_an_application_that_does_not_exist_is_refused(bench: EntraBench) -> None:
    nobody = "7f3c0c52-0000-4000-8000-00000000dead"
    for name in (nobody, f"object:{nobody}"):
        with pytest.raises(Refused) as caught:
            bench.provider.create(name, TAG, DAYS)
        assert caught.value.code == "application_not_found"
    assert bench.seen(Route.ADD_PASSWORD, None) == 0


def test_a_wrong_object_id_in_memory_is_forgotten(bench: EntraBench) -> None:
    bench.provider.list(APP)
    bench.sandbox.fail_next(Route.READ_APPLICATION, Fault(Answer.ERROR, Effect.NONE, 404), app_id=APP)
    with pytest.raises(Refused):
        bench.provider.list(APP)
    bench.provider.list(APP)
    assert "appId='" in bench.sandbox.directory.requests(APP, "read_application")[-1].path


# ------------------------------------------------------------------------------------------------------------- the end


def test_closing_in_the_middle_of_a_write_leaves_its_outcome_unknown(bench: EntraBench) -> None:
    bench.provider.list(APP)
    bench.sandbox.set_weather(Weather.calm().but(write_time=timedelta(seconds=2)))
    with ThreadPoolExecutor(1) as pool:
        write = pool.submit(bench.provider.create, APP, TAG, DAYS)
        while not bench.sandbox.directory._writing:
            SystemClock().wait(timedelta(milliseconds=10))
        bench.provider.close()
        with pytest.raises(OutcomeUnknown):
            write.result()


def test_a_closed_provider_sends_nothing_and_closes_twice(bench: EntraBench) -> None:
    before = set(threading.enumerate())
    bench.provider.list(APP)
    bench.provider.close()
    bench.provider.close()
    with pytest.raises(Transient) as caught:
        bench.provider.create(APP, TAG, DAYS)
    assert caught.value.code == "stopping"
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("entra-")]


def test_a_provider_that_was_never_used_starts_no_thread(bench: EntraBench) -> None:
    before = set(threading.enumerate())
    provider = bench.another(auth=by_secret(bench.sandbox))
    assert set(threading.enumerate()) == before
    provider.close()


def test_the_use_of_each_secret_is_told_with_the_lag_of_the_report(bench: EntraBench) -> None:
    issued, clock = bench.provider.create(APP, TAG, DAYS), SystemClock()
    value = issued.values.secret("client_secret")
    assert value is not None and bench.provider.last_used(APP) == {}
    asked = ProofRequest(
        token_url=f"{bench.sandbox.base_url}/{bench.sandbox.tenant}/oauth2/v2.0/token",
        scope="api://kontrolle-provider/.default",
        ca_file=bench.sandbox.ca_file,
    )
    used_at = clock.now()
    verdict = ClientCredentialsProver(asked, clock).prove(APP, issued.values, clock.now())
    assert verdict.answer is Proved.PROVED, verdict.message
    seen = bench.provider.last_used(APP)
    for _ in range(100):
        if seen:
            break
        clock.wait(timedelta(milliseconds=100))
        seen = bench.provider.last_used(APP)
    assert set(seen) == {issued.version.key_id}
    assert abs(seen[issued.version.key_id] - used_at) < timedelta(minutes=1)


def test_who_may_not_see_the_sign_ins_is_told_so(tmp_path: Path) -> None:
    world = replace(demo_world(), rotator=rotator_app("Application.ReadWrite.OwnedBy"))
    with entra_bench(tmp_path / "sandbox", world=world) as bench, pytest.raises(Denied):
        bench.provider.last_used(APP)
