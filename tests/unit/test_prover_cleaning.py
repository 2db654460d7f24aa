"""Nothing that was sent comes back in a message, in whatever form a stranger repeats it."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest

from rotator.secret import Secret
from rotator.wire.cleaning import MASK, Cleaner

CANARY = 'Kq7~wV+9%x&"<Pb3/zT ä=Lm5Yc8Rd'
CLIENT = "7f3c0c52-0000-4000-8000-000000000011"


def forms() -> dict[str, str]:
    pair = f"{quote_plus(CLIENT)}:{quote_plus(CANARY)}"
    return {
        "as it is": CANARY,
        "in capitals": CANARY.upper(),
        "percent-encoded": quote(CANARY, safe=""),
        "percent-encoded in lower case": quote(CANARY, safe="").lower(),
        "form-encoded": quote_plus(CANARY),
        "encoded twice": quote_plus(quote_plus(CANARY)),
        "in HTML": html.escape(CANARY),
        "in JSON": json.dumps(CANARY),
        "base64": base64.b64encode(CANARY.encode()).decode(),
        "base64 with a prefix of one": base64.b64encode(b"x" + CANARY.encode()).decode(),
        "base64 with a prefix of two": base64.b64encode(b"xy" + CANARY.encode() + b"z").decode(),
        "base64url": base64.urlsafe_b64encode(CANARY.encode()).decode(),
        "hex": CANARY.encode().hex(),
        "hex in capitals": CANARY.encode().hex().upper(),
        "Basic": base64.b64encode(pair.encode()).decode(),
        "cut at the end": CANARY[:14],
        "cut at the start": CANARY[12:],
        "with unseen characters woven in": "\u200b".join(CANARY),
        "between control characters": f"\x00{CANARY}\x1b[0m",
    }


@pytest.mark.parametrize("form", forms(), ids=lambda name: name.replace(" ", "-"))
def test_no_form_of_the_secret_survives(form: str) -> None:
    basic = base64.b64encode(f"{quote_plus(CLIENT)}:{quote_plus(CANARY)}".encode()).decode()
    cleaned = Cleaner([Secret(CANARY), Secret(basic)]).words(f"error: [{forms()[form]}] end")
    assert cleaned.startswith("error: [")
    assert cleaned.endswith("] end")
    assert MASK in cleaned
    left = cleaned.replace(MASK, "")
    assert not any(CANARY[at : at + 8].lower() in left.lower() for at in range(len(CANARY) - 7))
    assert len(left) < 40


def test_a_secret_with_many_spaces_is_found_when_they_became_plus_signs() -> None:
    assert Cleaner([Secret("ab cd ef gh ij kl")]).words("sent ab+cd+ef+gh+ij+kl, no") == f"sent {MASK}, no"


def test_ordinary_words_are_left_alone() -> None:
    text = "AADSTS7000215: Invalid client secret provided."
    assert Cleaner([Secret(CANARY)]).words(text) == text


def test_a_short_secret_is_masked_whole() -> None:
    assert Cleaner([Secret("pa55")]).words("you sent PA55, pa55") == f"you sent {MASK}, {MASK}"


def test_the_line_ends_of_a_private_key_do_not_hide_it() -> None:
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEF\nAASCBKcwggSjAgEAAoIBAQC7VJTU"
    key = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"
    echoed = "bad key MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTU here"
    assert Cleaner([Secret(key)]).words(echoed) == f"bad key {MASK} here"


def test_what_a_terminal_would_obey_is_gone() -> None:
    cleaned = Cleaner([]).words("a\x1b]0;title\x07b\r\nc\u2028d\u202ee\x9bf\ud800g")
    assert cleaned == "a ]0;title b c de fg"


def test_long_texts_are_cut() -> None:
    assert Cleaner([]).words("x" * 10_000) == "x" * 199 + "…"


def test_a_secret_cut_by_our_own_limit_is_masked_before_it_is_cut() -> None:
    assert "Kq7" not in Cleaner([Secret(CANARY)]).words("y" * 190 + CANARY)
