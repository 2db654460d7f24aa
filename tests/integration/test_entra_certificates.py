"""Certificates are added and removed beside all others, over real TLS, and the issuer's truth agrees."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from rotator.clock import SystemClock
from rotator.errors import Busy, Denied, Misconfigured, OutcomeUnknown, Refused, RotatorError, Throttled, Transient
from rotator.finding import Finding, Severity
from rotator.ports import Answer as Proved
from rotator.ports import Issued, Retired
from rotator.providers.entra_keys import make_pair
from rotator.sandbox.keys import WrittenKey
from rotator.sandbox.records import HeldKey
from rotator.sandbox.weather import Answer, Effect, Fault, Route, Weather, throttle
from rotator.sandbox.world import GRAPH_URI, ROTATOR, Federated, SecretPolicy
from rotator.secret import Fields
from tests.integration.entra_bench import APP, DAYS, TAG, EntraBench, entra_bench, proved

NAMED = f"certificate:{APP}"
WRITES = (Route.ADD_KEY, Route.REMOVE_KEY, Route.UPDATE_APPLICATION)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[EntraBench]:
    with entra_bench(tmp_path / "sandbox") as made:
        yield made


def foreign(bench: EntraBench, name: str = "made by a person") -> HeldKey:
    """Let a person upload a certificate of his."""
    now = bench.sandbox.directory.now()
    pair = make_pair("theirs", "x/y/z", now - timedelta(days=1), now + timedelta(days=300))
    return bench.sandbox.keys.put(APP, WrittenKey(None, pair.certificate, name))


def live(bench: EntraBench) -> set[str]:
    return {key.key_id for key in bench.sandbox.keys.live(APP)}


def hold(bench: EntraBench, values: Fields | None) -> None:
    """Let consumers read this."""
    bench.provider.prove_with(lambda application: values if application == NAMED else None)


def first(bench: EntraBench, tag: str = TAG) -> Issued:
    """Add the first certificate, and show it to consumers."""
    issued = bench.provider.create(NAMED, tag, DAYS)
    hold(bench, issued.values)
    return issued


def seen(bench: EntraBench) -> list[str]:
    """Return the writes that arrived, in order."""
    return [one.route for one in bench.sandbox.directory.requests(APP) if one.route in WRITES]


# ----------------------------------------------------------------------------------------------------- adding one


def test_the_first_certificate_is_made_here_and_works_beside_what_others_uploaded(bench: EntraBench) -> None:
    theirs = foreign(bench)
    issued = bench.provider.create(NAMED, TAG, DAYS)
    assert live(bench) == {theirs.key_id, issued.version.key_id}
    assert (issued.version.tag, issued.client_id) == (TAG, APP)
    certificate, key = issued.values.secret("certificate"), issued.values.secret("private_key")
    assert certificate is not None and key is not None
    parsed = x509.load_pem_x509_certificate(certificate.reveal().encode())
    private = load_pem_private_key(key.reveal().encode(), password=None)
    assert isinstance(private, rsa.RSAPrivateKey) and private.key_size == 2048
    assert private.public_key() == parsed.public_key()
    assert parsed.not_valid_after_utc - parsed.not_valid_before_utc == DAYS
    assert (issued.version.created_at, issued.version.expires_at) == (
        parsed.not_valid_before_utc,
        parsed.not_valid_after_utc,
    )
    assert proved(bench, issued.values) is Proved.PROVED
    assert seen(bench) == ["update_application"], "there was no key to prove possession with"


def test_the_next_one_is_added_by_a_proof_of_possession_and_touches_no_other(bench: EntraBench) -> None:
    theirs, issued = foreign(bench), first(bench)
    second = bench.provider.create(NAMED, f"{TAG}2", DAYS)
    assert live(bench) == {theirs.key_id, issued.version.key_id, second.version.key_id}
    assert seen(bench) == ["update_application", "add_key"]
    assert proved(bench, second.values) is Proved.PROVED and proved(bench, issued.values) is Proved.PROVED


def test_a_certificate_uploaded_at_the_same_time_survives_a_proof_of_possession(bench: EntraBench) -> None:
    first(bench)
    bench.sandbox.set_weather(Weather.calm().but(write_time=timedelta(milliseconds=500)))
    work = threading.Thread(target=bench.provider.create, args=(NAMED, f"{TAG}2", DAYS))
    work.start()
    while not bench.seen(Route.READ_APPLICATION):
        continue
    theirs = foreign(bench)
    work.join()
    assert theirs.key_id in live(bench) and len(live(bench)) == 3


@pytest.mark.parametrize("why", ["expired", "gone", "garbage", "mismatched"])
def test_what_cannot_sign_is_not_asked_to_and_the_certificate_is_added_all_the_same(
    bench: EntraBench, why: str
) -> None:
    issued, theirs = first(bench), foreign(bench)
    if why in ("gone", "expired"):
        now = bench.sandbox.directory.now()
        end = now - timedelta(days=1) if why == "expired" else now + DAYS
        pair = make_pair("old", "x/y/z", now - timedelta(days=2), end)
        put = bench.sandbox.keys.put(APP, WrittenKey(None, pair.certificate, "old"))
        hold(bench, pair.values)
        if why == "gone":
            bench.sandbox.keys.remove(APP, put.key_id)
    elif why == "garbage":
        hold(bench, Fields({"certificate": "no", "private_key": "no"}))
    else:
        now = bench.sandbox.directory.now()
        other = make_pair("other", "x/y/z", now, now + DAYS).values.secret("private_key")
        assert other is not None
        hold(bench, issued.values.merged({"private_key": other}))
    second = bench.provider.create(NAMED, f"{TAG}2", DAYS)
    assert {theirs.key_id, second.version.key_id} <= live(bench)
    assert seen(bench)[-1] == "update_application"


def test_a_proof_that_graph_does_not_take_is_no_dead_end(bench: EntraBench) -> None:
    issued, theirs = first(bench), foreign(bench)
    refusal = Fault(Answer.ERROR, Effect.NONE, 401, code="Authentication_MissingOrMalformed")
    bench.sandbox.fail_next(Route.ADD_KEY, refusal, app_id=APP)
    second = bench.provider.create(NAMED, f"{TAG}2", DAYS)
    assert live(bench) == {issued.version.key_id, theirs.key_id, second.version.key_id}
    bench.sandbox.fail_next(Route.REMOVE_KEY, refusal, app_id=APP)
    assert bench.provider.retire(NAMED, second.version.key_id) is Retired.DONE
    assert live(bench) == {issued.version.key_id, theirs.key_id}


def test_a_policy_that_caps_lifetimes_is_named_and_nothing_is_added(bench: EntraBench) -> None:
    policy = SecretPolicy("22222222-0000-4000-8000-000000000001", max_certificate_lifetime=timedelta(days=30))
    bench.sandbox.directory.change(APP, policy=policy)
    with pytest.raises(Refused, match="allows no certificate as long as that") as caught:
        bench.provider.create(NAMED, TAG, DAYS)
    assert caught.value.code == "lifetime_not_allowed" and policy.policy_id in caught.value.message
    assert live(bench) == set()


# -------------------------------------------------------------------------------------------------- ending one


def test_a_certificate_is_ended_by_the_key_of_its_successor_and_others_stay(bench: EntraBench) -> None:
    theirs, issued = foreign(bench), first(bench)
    second = bench.provider.create(NAMED, f"{TAG}2", DAYS)
    hold(bench, second.values)
    assert bench.provider.retire(NAMED, issued.version.key_id.upper()) is Retired.DONE
    assert live(bench) == {theirs.key_id, second.version.key_id}
    assert proved(bench, issued.values) is Proved.REFUSED and proved(bench, second.values) is Proved.PROVED
    assert seen(bench)[-1] == "remove_key"
    assert bench.provider.retire(NAMED, issued.version.key_id) is Retired.ALREADY_GONE


def test_without_a_key_one_is_ended_by_writing_the_rest(bench: EntraBench) -> None:
    theirs, issued = foreign(bench), bench.provider.create(NAMED, TAG, DAYS)
    assert bench.provider.retire(NAMED, issued.version.key_id) is Retired.DONE
    assert live(bench) == {theirs.key_id}
    assert seen(bench) == ["update_application"] * 2


def test_all_of_ours_can_be_ended_at_once_the_one_in_use_first(bench: EntraBench) -> None:
    theirs, old = foreign(bench), first(bench)
    new = bench.provider.create(NAMED, f"{TAG}2", DAYS)
    hold(bench, new.values)
    for one in (new, old):
        assert bench.provider.retire(NAMED, one.version.key_id) is Retired.DONE
    assert live(bench) == {theirs.key_id}


def test_no_certificate_signs_its_own_end(bench: EntraBench) -> None:
    issued = first(bench)
    assert bench.provider.retire(NAMED, issued.version.key_id) is Retired.DONE
    assert seen(bench)[-1] == "update_application"


def test_secrets_and_certificates_of_one_application_do_not_see_each_other(bench: EntraBench) -> None:
    secret, certificate = bench.provider.create(APP, TAG, DAYS), bench.provider.create(NAMED, TAG, DAYS)
    assert certificate.version.key_id not in {one.key_id for one in bench.provider.list(APP).versions}
    assert [one.key_id for one in bench.provider.list(NAMED).versions] == [certificate.version.key_id]
    other = bench.another()
    assert other.retire(NAMED, secret.version.key_id) is Retired.ALREADY_GONE
    assert other.retire(APP, certificate.version.key_id) is Retired.ALREADY_GONE
    other.close()
    assert bench.tagged() and live(bench) == {certificate.version.key_id}


def test_keys_of_every_other_kind_outlive_a_write_of_all_as_they_were(bench: EntraBench) -> None:
    """Certificates that encrypt tokens or sign them, and symmetric keys, lie in the same collection."""
    keys, now, theirs = bench.sandbox.keys, bench.sandbox.directory.now(), [foreign(bench)]
    for kind in (("AsymmetricX509Cert", "Encrypt"), ("AsymmetricX509Cert", "Sign"), ("X509CertAndPassword", "Sign")):
        pair = make_pair("theirs", "x/y/z", now - timedelta(days=1), now + timedelta(days=300))
        theirs.append(keys.put(APP, WrittenKey(None, pair.certificate, None, now + timedelta(days=30), kind)))
    theirs += [keys.put_symmetric(APP, usage.encode() * 8, usage, DAYS) for usage in ("Sign", "Verify")]
    issued = bench.provider.create(NAMED, TAG, DAYS)
    assert {one.key_id for one in bench.provider.list(NAMED).versions} == live(bench)
    assert bench.provider.retire(NAMED, issued.version.key_id) is Retired.DONE
    assert seen(bench) == ["update_application"] * 2
    assert keys.live(APP) == theirs, "one of them is gone, or is not as it was"
    first(bench)
    second = bench.provider.create(NAMED, f"{TAG}2", DAYS)
    assert bench.provider.retire(NAMED, second.version.key_id) is Retired.DONE
    assert seen(bench)[-2:] == ["add_key", "remove_key"] and keys.live(APP)[:6] == theirs


# ------------------------------------------------------------------------------------------------------ bad days

_LOST = [
    Fault(Answer.DROP, Effect.DONE),
    Fault(Answer.ERROR, Effect.DONE, 503),
    Fault(Answer.ERROR, Effect.DONE, 504),
    Fault(Answer.ERROR, Effect.NONE, 409),
    Fault(Answer.ERROR, Effect.NONE, 500),
    Fault(Answer.HTML, Effect.DONE, 502),
]


_CASES = [(route, fault) for fault in _LOST for route in (Route.UPDATE_APPLICATION, Route.ADD_KEY)]
_CASES.append((Route.ADD_KEY, Fault(Answer.CUT, Effect.DONE)))  # the other one's answer has nothing to be cut


@pytest.mark.parametrize(("route", "fault"), _CASES)
def test_an_answer_that_was_lost_is_never_sent_again_and_its_label_tells_what_came_of_it(
    bench: EntraBench, route: Route, fault: Fault
) -> None:
    theirs = foreign(bench)
    if route is Route.ADD_KEY:
        first(bench, f"{TAG}0")
    before, writes = live(bench), len(seen(bench))
    bench.sandbox.fail_next(route, fault, app_id=APP)
    with pytest.raises(OutcomeUnknown):
        bench.provider.create(NAMED, TAG, DAYS)
    assert len(seen(bench)) == writes + 1, "a write was sent twice"
    labelled = [one.key_id for one in bench.provider.list(NAMED).versions if one.tag == TAG]
    assert len(labelled) == (1 if fault.effect is Effect.DONE else 0)
    assert live(bench) == before | set(labelled) and theirs.key_id in live(bench)


@pytest.mark.parametrize("route", WRITES)
def test_who_is_told_to_wait_waits_and_changes_nothing(bench: EntraBench, route: Route) -> None:
    issued = first(bench, f"{TAG}0") if route is not Route.UPDATE_APPLICATION else None
    second = bench.provider.create(NAMED, f"{TAG}1", DAYS) if route is Route.REMOVE_KEY else None
    before = live(bench)
    bench.sandbox.fail_next(route, throttle("30"), app_id=APP)
    with pytest.raises(Throttled) as caught:
        if second is not None:
            bench.provider.retire(NAMED, second.version.key_id)
        else:
            bench.provider.create(NAMED, TAG, DAYS)
    assert caught.value.retry_after == timedelta(seconds=30) and live(bench) == before
    assert issued is None or issued.version.key_id in before


def test_an_end_whose_answer_was_lost_counts_as_ended_the_next_time(bench: EntraBench) -> None:
    first(bench)
    second = bench.provider.create(NAMED, f"{TAG}2", DAYS)
    bench.sandbox.fail_next(Route.REMOVE_KEY, Fault(Answer.DROP, Effect.DONE), app_id=APP)
    with pytest.raises(OutcomeUnknown):
        bench.provider.retire(NAMED, second.version.key_id)
    assert bench.provider.retire(NAMED, second.version.key_id) is Retired.ALREADY_GONE


def test_a_certificate_that_was_just_made_and_is_not_listed_yet_is_not_taken_for_gone(bench: EntraBench) -> None:
    first(bench)
    second = bench.provider.create(NAMED, f"{TAG}2", DAYS)
    bench.sandbox.set_weather(Weather.calm().but(stale_list=timedelta(hours=1)))
    with pytest.raises(Transient) as caught:
        bench.provider.retire(NAMED, second.version.key_id)
    assert caught.value.code == "replication_lag" and second.version.key_id in live(bench)


@pytest.mark.parametrize("act", ["create", "retire"])
def test_the_one_that_consumers_have_just_got_is_not_written_away_by_lists_that_lack_it(
    bench: EntraBench, act: str
) -> None:
    theirs, issued = foreign(bench), first(bench)
    dumped = bench.sandbox.keys.dump()  # theirs was there long before
    past = dumped[0] | {"created_at": (bench.sandbox.directory.now() - DAYS).isoformat()}
    bench.sandbox.keys.load([past, *dumped[1:]])
    bench.sandbox.set_weather(Weather.calm().but(stale_list=timedelta(hours=1)))
    before, provider = live(bench), bench.another()
    provider.prove_with(lambda _: issued.values)
    with pytest.raises(Transient) as caught:
        if act == "create":
            provider.create(NAMED, f"{TAG}2", DAYS)
        else:
            provider.retire(NAMED, theirs.key_id)
    provider.close()
    assert caught.value.code == "replication_lag" and live(bench) == before


def test_before_all_are_written_two_reads_must_agree_that_are_further_apart_than_reads_lag(bench: EntraBench) -> None:
    lag, apart = timedelta(seconds=1), timedelta(seconds=1.1)
    bench.sandbox.set_weather(Weather.calm().but(stale_list=lag))
    provider = bench.another(agreement=apart)
    refused = added = 0
    for number in range(4):
        theirs = foreign(bench, f"person {number}")  # a moment ago, so that not every read knows of it
        try:
            provider.create(NAMED, f"{TAG}{number}", DAYS)
            added += 1
        except OutcomeUnknown:
            added += 1
        except Transient as error:
            assert error.code == "replication_lag"
            refused += 1
        assert theirs.key_id in live(bench), "a certificate of somebody else was removed"
    provider.close()
    assert refused + added == 4 and len(bench.sandbox.keys.live(APP)) == 4 + added


def test_who_has_no_time_for_two_reads_sends_nothing(bench: EntraBench) -> None:
    provider = bench.another(agreement=timedelta(minutes=5))
    with pytest.raises(Busy):
        provider.create(NAMED, TAG, DAYS)
    provider.close()
    assert seen(bench) == []


def test_one_that_was_removed_while_the_rest_was_written_does_not_come_back(bench: EntraBench) -> None:
    theirs = foreign(bench)
    bench.sandbox.set_weather(Weather.calm().but(write_time=timedelta(milliseconds=500)))
    failure: list[RotatorError] = []

    def work() -> None:
        try:
            bench.provider.create(NAMED, TAG, DAYS)
        except RotatorError as error:
            failure.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while bench.seen(Route.READ_APPLICATION) < 3:
        continue
    bench.sandbox.keys.remove(APP, theirs.key_id)
    thread.join()
    assert theirs.key_id not in live(bench)
    assert isinstance(failure[0], Refused)


def test_who_may_not_is_told_to_become_an_owner(bench: EntraBench) -> None:
    bench.sandbox.directory.change(APP, owned=False)
    with pytest.raises(Denied, match="refused to add a certificate"):
        bench.provider.create(NAMED, TAG, DAYS)


@pytest.mark.parametrize("name", ["certificate:", "certificate:x", f"certificate:{APP}/owners", "certificate:object:"])
def test_a_name_that_is_no_id_is_refused_before_anything_is_sent(bench: EntraBench, name: str) -> None:
    for call in (
        lambda: bench.provider.create(name, TAG, DAYS),
        lambda: bench.provider.list(name),
        lambda: bench.provider.retire(name, APP),
    ):
        with pytest.raises(Misconfigured):
            call()
    assert bench.sandbox.directory.requests() == []


def test_what_others_did_to_our_name_for_it_does_not_hide_whose_it_is(bench: EntraBench) -> None:
    issued = bench.provider.create(NAMED, TAG, DAYS)
    (held,) = bench.sandbox.keys.live(APP)
    bench.sandbox.keys.remove(APP, held.key_id)
    bench.sandbox.keys.put(APP, WrittenKey(held.key_id, held.der, "renamed in the portal"))
    (listed,) = bench.provider.list(NAMED).versions
    assert (listed.key_id, listed.tag) == (issued.version.key_id, TAG)


def test_on_the_worst_days_no_certificate_of_others_goes_and_none_of_ours_is_without_its_label(
    bench: EntraBench,
) -> None:
    provider, clock = bench.another(agreement=timedelta(seconds=0.2), deadline=timedelta(seconds=4)), SystemClock()
    theirs = {foreign(bench, f"person {number}").key_id for number in range(3)}
    shown: Fields | None = None
    current: str | None = None
    provider.prove_with(lambda _: shown)
    clock.wait(timedelta(seconds=0.2))
    bench.sandbox.set_weather(Weather.nasty(scale=0.01))
    made, sent = 0, 0
    for number in range(20):
        tag = f"{TAG}{number}"
        before = len(seen(bench))
        try:
            issued = provider.create(NAMED, tag, DAYS)
            made, ending = made + 1, issued.version.key_id
            if number % 3:
                shown, current, ending = issued.values, ending, current or ""
            if ending:
                provider.retire(NAMED, ending)
        except RotatorError as error:
            assert error.message and error.hint
        sent = max(sent, len(seen(bench)) - before)
        assert theirs | ({current} if current else set()) <= live(bench)
    provider.close()
    assert made >= 4, "the weather let nothing through"
    assert sent <= 4, "a create and a retire are two writes, or four where proofs were refused"
    ours = [one for one in bench.sandbox.keys.live(APP) if one.key_id not in theirs]
    assert all((one.display_name or "").startswith(TAG) for one in ours)


def test_the_report_of_sign_ins_knows_certificates(bench: EntraBench) -> None:
    roles = ("Application.ReadWrite.OwnedBy", "AuditLog.Read.All")
    bench.sandbox.directory.change(ROTATOR, roles={GRAPH_URI: roles})
    issued, clock = bench.provider.create(NAMED, TAG, DAYS), SystemClock()
    assert proved(bench, issued.values) is Proved.PROVED
    until = clock.now() + timedelta(seconds=20)
    while issued.version.key_id not in bench.provider.last_used(NAMED):
        assert clock.now() < until
        clock.wait(timedelta(seconds=0.2))


# ----------------------------------------------------------------------------------------------------- the check


def check(bench: EntraBench) -> list[Finding]:
    return list(bench.provider.check(NAMED, DAYS, "kontrolle", "rotator/i-1/kontrolle-plus-prod/"))


def test_the_check_counts_certificates_and_names_federated_credentials_which_nobody_touches(bench: EntraBench) -> None:
    foreign(bench)
    bench.provider.create(NAMED, TAG, DAYS)
    federated = Federated("build\x1b[31m", "https://token.actions.githubusercontent.com", "repo:acme/site:ref:main")
    bench.sandbox.directory.change(APP, federated=(federated,))
    found = check(bench)
    told = "\n".join(one.message for one in found)
    assert "1 of 2 certificates ours" in told and "asks" not in told
    (named,) = [one for one in found if one.check == "federated"]
    assert named.outcome is Severity.OK and "repo:acme/site:ref:main" in named.message and "\x1b" not in named.message
    assert bench.sandbox.directory.app(APP).federated == (federated,)


def test_the_check_finds_a_cap_on_certificates(bench: EntraBench) -> None:
    policy = SecretPolicy("22222222-0000-4000-8000-000000000001", max_certificate_lifetime=timedelta(days=30))
    bench.sandbox.directory.change(APP, policy=policy)
    (found,) = [one for one in check(bench) if one.outcome is Severity.FAIL]
    assert "allows 30 d, you ask for 90 d" in found.message


# ---------------------------------------------------------------------------------------------------- canaries


def test_no_private_key_is_sent_to_graph_or_shown(bench: EntraBench) -> None:
    issued = first(bench)
    second = bench.provider.create(NAMED, f"{TAG}2", DAYS)
    for one in (issued, second):
        key = one.values.secret("private_key")
        assert key is not None
        body = "".join(key.reveal().splitlines()[1:-1])
        places = [repr(one), repr(one.values), str(key), f"{key}", repr(bench.sandbox.keys.truth(APP))]
        places += [repr(seen) for seen in bench.sandbox.directory.requests()]
        places += [base64.b64decode(held.der).hex() for held in bench.sandbox.keys.truth(APP)]
        for place in places:
            assert body[40:80] not in place and "PRIVATE KEY" not in place
