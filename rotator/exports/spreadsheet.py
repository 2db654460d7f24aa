"""Audit records as CSV (RFC 4180) that no spreadsheet takes for a formula. It is for reading, not for checking.

A text that begins with one of `= + - @`, a tab or a line end gets an apostrophe before it (OWASP, "CSV Injection"), so
the hashes do not fit such a text any more: a chain is checked from JSONL.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final

from rotator.chain import KEYS, Record, Value

_RISKY: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}")
_RISKY_TOO: Final = ("\N{FULLWIDTH HYPHEN-MINUS}", "\N{FULLWIDTH COMMERCIAL AT}")


def csv_lines(records: Iterable[Record]) -> Iterator[str]:
    """Yield a header, then one line for each record; lines end with CRLF."""
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\r\n")

    def line(cells: Iterable[Value]) -> str:
        page.seek(0)
        page.truncate()
        writer.writerow(cells)
        return page.getvalue()

    yield line(KEYS)
    for record in records:
        yield line(_cell(record.get(key)) for key in KEYS)


def _cell(value: Value) -> Value:
    if isinstance(value, str) and value.lstrip(" ").startswith((*_RISKY, *_RISKY_TOO)):
        return f"'{value}"
    return value
