"""Keys that are no OAuth secrets: what one request says of them, and a vendor of such keys from end to end."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from rotator.app.config import load
from rotator.app.house import House
from rotator.app.rotating import Wish, rotate
from rotator.clock import ManualClock, SystemClock
from rotator.errors import Misconfigured
from rotator.finding import Severity
from rotator.ports import Answer
from rotator.provers.http_probe import HttpProbeProver, ProbeRequest
from rotator.sandbox.tls import prepare_tls
from rotator.secret import Fields
from rotator.wire.exchange import Unanswered
from tests.fakes.sendgrid import SendGrid, serving

KEY = Fields({"client_secret": "SG.k3y-of-a-vendor"})
DESCRIPTION = Path(__file__).parents[2] / "docs/how-to/vendors/sendgrid.yaml"


class Once(httpx2.BaseTransport):
    def __init__(self, answer: httpx2.Response | Unanswered) -> None:
        self.answer, self.asked = answer, list[httpx2.Request]()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        if isinstance(self.answer, Unanswered):
            raise self.answer
        return self.answer


def probing(answer: httpx2.Response | Unanswered, **changes: object) -> tuple[HttpProbeProver, Once]:
    facts = {"method": "GET", "url": "https://v.example/me", "header": "X-Api-Key", **changes}
    once = Once(answer)
    return HttpProbeProver(ProbeRequest(**facts), ManualClock(), transport=lambda _: once), once  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "answer", "code"),
    [
        (200, Answer.PROVED, "proved"),
        (204, Answer.SILENT, "unexpected_status"),
        (302, Answer.SILENT, "unexpected_status"),
        (401, Answer.REFUSED, "invalid_key"),
        (403, Answer.UNFIT, "forbidden"),
        (404, Answer.SILENT, "unexpected_status"),
        (429, Answer.SILENT, "throttled"),
        (500, Answer.SILENT, "server_error"),
    ],
)
def test_the_status_says_what_it_means_for_the_key(status: int, answer: Answer, code: str) -> None:
    prover, once = probing(httpx2.Response(status, headers={"retry-after": "9"}))
    verdict = prover.prove("", KEY, ManualClock().now())
    assert (verdict.answer, verdict.code) == (answer, code)
    assert once.asked[0].headers["x-api-key"] == "SG.k3y-of-a-vendor"
    assert verdict.retry_after == (timedelta(seconds=9) if answer is Answer.SILENT else None)
    assert "k3y" not in f"{verdict!r}"


def test_a_scheme_stands_before_the_key() -> None:
    prover, once = probing(httpx2.Response(200), header="Authorization", scheme="Bearer")
    prover.prove("", KEY, ManualClock().now())
    assert once.asked[0].headers["authorization"] == "Bearer SG.k3y-of-a-vendor"


@pytest.mark.parametrize("value", ["with\r\nInjected: header", "with \u00fc", "", "  "])
def test_a_key_that_no_header_can_carry_is_not_sent(value: str) -> None:
    prover, once = probing(httpx2.Response(200))
    verdict = prover.prove("", Fields({"client_secret": value}), ManualClock().now())
    assert (verdict.answer, once.asked) == (Answer.REFUSED, [])


def test_silence_says_nothing_of_the_key() -> None:
    prover, _ = probing(Unanswered("timed_out", "Too slow."))
    assert prover.prove("", KEY, ManualClock().now()).answer is Answer.SILENT
    with pytest.raises(Misconfigured):
        prover.prove("", Fields({}), ManualClock().now())


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (httpx2.Response(401), Severity.OK),
        (httpx2.Response(200), Severity.FAIL),
        (httpx2.Response(500), Severity.WARN),
        (Unanswered("unreachable", "No route."), Severity.FAIL),
    ],
)
def test_a_check_asks_without_a_key(answer: httpx2.Response | Unanswered, outcome: Severity) -> None:
    prover, once = probing(answer)
    (finding,) = prover.check("mail")
    assert finding.outcome is outcome
    assert "x-api-key" not in once.asked[0].headers


@pytest.mark.parametrize(
    "url", ["http://v.example/me", "https://u:p@v.example/me", "https://v.example/#x", "v.example"]
)
def test_a_key_is_sent_to_nobody_but_over_tls(url: str) -> None:
    with pytest.raises(Misconfigured):
        probing(httpx2.Response(200), url=url)


def test_the_keys_of_sendgrid_are_rotated_as_its_description_says(tmp_path: Path) -> None:
    vendor, tls = SendGrid(), prepare_tls(tmp_path, SystemClock().now())
    with serving(vendor, tls) as address:
        text = DESCRIPTION.read_text(encoding="utf-8")
        text = text.replace("https://api.sendgrid.com", address).replace("/etc/rotator/sendgrid-admin-key", "admin")
        text = text.replace("    auth:", "    ca_file: ca.pem\n    auth:").replace("use: vault", "use: local")
        text = text.replace("      kind: http_probe", "      kind: http_probe\n      spacing: 0s")
        head = 'version: 1\nstate: {url: "sqlite:///rotator.db"}\n'
        head += 'stores:\n  local: {kind: embedded, path: secrets, key: "file:store-key"}\n'
        (tmp_path / "config.yaml").write_text(head + text, encoding="utf-8")
        (tmp_path / "admin").write_text(vendor.admin, encoding="ascii")
        (tmp_path / "admin").chmod(0o600)

        def rotated(**wish: object) -> None:
            with House(load(tmp_path / "config.yaml"), environ={}, argv=("rotator", "test")) as house:
                found = rotate(house, Wish(names=("sendgrid-mail-prod",), **wish))  # type: ignore[arg-type]
            assert (found.exit_status, found.items[0]["outcome"]) == (0, "promoted"), found.troubles

        rotated()
        (first,) = vendor.keys
        assert vendor.keys[first]["scopes"] == ["mail.send"]
        rotated(now=True, emergency=True)
        (second,) = vendor.keys
    assert second != first
    said = (tmp_path / "rotator.db").read_bytes()
    assert vendor.keys[second]["api_key"].encode() not in said
    assert vendor.admin.encode() not in said
