"""Makes words from outside fit to be shown: one line, short, printable, and without anything that was sent.

Endpoints quote requests in their errors, as they are or encoded, whole or cut off. So a run of eight characters that
also occurs in a secret, in any of the forms in which it travels, is masked. It is a last net: messages are built from
our own words wherever possible, and a body is never shown as it is.
"""

from __future__ import annotations

import base64
import html
import json
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cached_property
from urllib.parse import quote, quote_plus

from rotator.secret import Secret

MASK = "<secret>"
LONGEST = 200

_RUN = 8
_SHORTEST = 4  # shorter values cannot be told from ordinary words
_READ_AT_MOST = 4096  # of one text from outside
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}  # one to one, unlike str.lower()


class Cleaner:
    """Knows what was sent and takes it out of what came back. For one proof, and one thread.

    It looks at the secrets when there are words to be cleaned: a token has some ten thousand runs, and a proof that
    succeeds quotes nothing.
    """

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._secrets = tuple(secrets)

    @cached_property
    def _known(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the runs of the long forms, and the short forms whole."""
        runs: set[str] = set()
        whole: set[str] = set()
        for secret in self._secrets:
            for form in _forms(secret.reveal()):
                known = form.translate(_LOWER)
                if len(known) >= _RUN:
                    runs.update(known[start : start + _RUN] for start in range(len(known) - _RUN + 1))
                elif len(known) >= _SHORTEST:
                    whole.add(known)
        return frozenset(runs), frozenset(whole)

    def words(self, text: str, longest: int = LONGEST) -> str:
        """Return `text` on one line, masked, and cut to `longest` characters."""
        line = self._masked(_one_line(text[:_READ_AT_MOST]))
        return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"

    def _masked(self, text: str) -> str:
        runs, whole = self._known
        known = text.translate(_LOWER)
        hidden = bytearray(len(text))
        for start in range(len(text) - _RUN + 1):
            if known[start : start + _RUN] in runs:
                hidden[start : start + _RUN] = b"\x01" * _RUN
        for form in whole:
            start = known.find(form)
            while start >= 0:
                hidden[start : start + len(form)] = b"\x01" * len(form)
                start = known.find(form, start + 1)
        if not any(hidden):
            return text
        shown: list[str] = []
        for position, character in enumerate(text):
            if not hidden[position]:
                shown.append(character)
            elif position == 0 or not hidden[position - 1]:
                shown.append(MASK)
        return "".join(shown)


def _one_line(text: str) -> str:
    """Return the text without what a terminal or a log would obey.

    Unseen characters (Cf: joiners, marks of direction) vanish, so that a value they were woven into is found again;
    control characters and line ends become spaces.
    """
    kept: list[str] = []
    for character in text:
        category = unicodedata.category(character)
        if category in ("Cf", "Cs", "Co", "Cn"):
            continue
        kept.append(" " if category in ("Cc", "Zl", "Zp", "Zs") else character)
    return " ".join("".join(kept).split())


def _forms(text: str) -> Iterator[str]:
    """Yield the forms in which a value travels or is quoted."""
    octets = text.encode("utf-8", "surrogatepass")
    yield text
    yield "".join(text.split())  # PEM that lost its line ends
    yield quote(octets, safe="")
    yield quote_plus(octets)
    yield quote_plus(quote_plus(octets))
    yield html.escape(text)
    yield json.dumps(text)[1:-1]
    yield octets.hex()
    for shift in range(3):  # as part of a longer text, such as `client:secret`, which may begin anywhere
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # The first and last groups mix with neighbours that we do not know.
            yield encode(b"\0" * shift + octets).decode().rstrip("=")[4 if shift else 0 : -2]
