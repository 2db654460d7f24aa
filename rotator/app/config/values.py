"""The small grammars of the configuration: durations, windows, URLs, names, paths. Pure; opens and contacts nothing.

Every function takes what stands in the file and returns what it means, or raises `Wrong`, whose text says what is
allowed and never repeats what was found: it may be a secret in the wrong place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import time, timedelta
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from rotator.model import Window

LONGEST: Final = timedelta(days=36_500)
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_UNITS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_DURATION = re.compile(r"([0-9]{1,12})([smhdw])\Z", re.ASCII)
_HOURS = re.compile(r"([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})\Z", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z", re.ASCII)
_STORE_PATH = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*\Z", re.ASCII)
_GUID = re.compile(r"[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z", re.ASCII)
_DOMAIN = re.compile(r"([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z]{2,63}\Z", re.ASCII)
NOT_HTTPS = "must be https; http only for this machine (localhost, 127.0.0.1, ::1)"
_LOOPBACK = re.compile(r"localhost\Z|127(\.[0-9]{1,3}){3}\Z|::1\Z", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}\Z", re.ASCII)
_FIELD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z", re.ASCII)
_PLACE = re.compile(r"[a-z][a-z0-9_]{0,40}\Z", re.ASCII)
_URL_TEXT = re.compile(r"[!-~]+\Z")


class Wrong(ValueError):
    """What stands there is not allowed. message: what is wrong, what is allowed; hint: the next step, if not clear."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def parse_duration(found: object) -> timedelta:
    """Return the duration of a text such as `90s`, `5m`, `24h`, `30d`, `2w`."""
    match = _DURATION.match(found) if isinstance(found, str) else None
    if match is None:
        raise Wrong("not a duration; a whole number and one unit of s, m, h, d, w, such as 90s or 30d")
    number, unit = int(match[1]), _UNITS[match[2]]
    if number > LONGEST // unit:
        raise Wrong(f"longer than {format_duration(LONGEST)}")
    return number * unit


def format_duration(duration: timedelta) -> str:
    """Return a duration of whole seconds as the configuration writes it, in the largest unit that divides it."""
    for letter in "dhm":
        if duration and not duration % _UNITS[letter]:
            return f"{duration // _UNITS[letter]}{letter}"
    return f"{duration // _UNITS['s']}s"


def positive_duration(found: object) -> timedelta:
    """Return a duration that is longer than nothing."""
    if not (duration := parse_duration(found)):
        raise Wrong("must be longer than 0s")
    return duration


def moment_long(found: object) -> timedelta:
    """Return a duration for which a rotation may stand still: another rotator takes over after two minutes."""
    if (duration := positive_duration(found)) > timedelta(minutes=1):
        raise Wrong(
            "must be 60s at most", "A rotation stands still meanwhile, and after two minutes another takes over."
        )
    return duration


def parse_days(found: object) -> frozenset[int]:
    """Return the days of `daily`, `mon-fri` or `mon,wed`; 0 is Monday. A span may pass the end of the week."""
    if found == "daily":
        return frozenset(range(7))
    wrong = Wrong("not days; `daily`, a span such as mon-fri, or a list such as mon,wed")
    if not isinstance(found, str):
        raise wrong
    days: set[int] = set()
    for part in found.split(","):
        first, dash, last = part.strip().partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise wrong
        start, end = DAYS.index(first), DAYS.index(last or first)
        days.update(day % 7 for day in range(start, end + 1 if end >= start else end + 8))
    return frozenset(days)


def format_days(days: frozenset[int]) -> str:
    """Return days as the configuration writes them."""
    return "daily" if len(days) == 7 else ",".join(DAYS[day] for day in sorted(days))


class Hours(NamedTuple):
    """From when to when; closes <= opens: over midnight."""

    opens: time
    closes: time


WHOLE_DAY: Final = Hours(time(0), time(0))


def parse_hours(found: object) -> Hours:
    """Return the times of `09:00-16:00`; `22:00-04:00` passes midnight, `00:00-24:00` is the whole day."""
    match = _HOURS.match(found) if isinstance(found, str) else None
    if match is None:
        raise Wrong('not hours; such as "09:00-16:00", or "22:00-04:00" over midnight')
    opens_hour, opens_minute, closes_hour, closes_minute = map(int, match.groups())
    if match[1] == match[3] and match[2] == match[4]:
        raise Wrong("this window never opens", 'For the whole day write "00:00-24:00".')
    if (closes_hour, closes_minute) == (24, 0):
        closes_hour = 0
    if max(opens_hour, closes_hour) > 23 or max(opens_minute, closes_minute) > 59:
        raise Wrong("not a time of day; 00:00 to 23:59, and 24:00 for the end of the day")
    return Hours(time(opens_hour, opens_minute), time(closes_hour, closes_minute))


def format_hours(hours: Hours) -> str:
    """Return hours as the configuration writes them."""
    return f"{hours.opens:%H:%M}-{'24:00' if hours.closes == time(0) else format(hours.closes, '%H:%M')}"


def time_zone(found: object) -> str:
    """Return the name of a zone in the IANA time zone database, as this machine has it."""
    from zoneinfo import ZoneInfo, available_timezones

    name = text(found)
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # what zoneinfo raises for odd names: ZoneInfoNotFoundError is a KeyError
        from rotator.app.config.faults import did_you_mean

        wrong = "no such time zone; a name such as Europe/Zurich or UTC."
        raise Wrong(wrong + did_you_mean(name, available_timezones())) from None
    return name


def longest_closed(window: Window) -> timedelta:
    """Return the longest time for which this window stays shut, by the clock on the wall, DST aside."""
    week = 7 * 24 * 60
    opens = window.opens.hour * 60 + window.opens.minute
    closes = window.closes.hour * 60 + window.closes.minute
    length = closes - opens if closes > opens else closes - opens + 24 * 60
    starts = sorted(day * 24 * 60 + opens for day in window.days)
    gaps = [
        (following - start - length) for start, following in zip(starts, [*starts[1:], starts[0] + week], strict=True)
    ]
    return timedelta(minutes=max(0, *gaps))


def text(found: object) -> str:
    """Return text of one line, without control characters."""
    if not isinstance(found, str):
        raise Wrong("must be text; put it in quotes")
    if not found.isprintable():
        raise Wrong("must be one line without control characters")
    if len(found) > 1000:
        raise Wrong("longer than 1000 characters")
    return found


def some_text(found: object) -> str:
    """Return text of one line that is not empty."""
    if not text(found).strip():
        raise Wrong("must not be empty")
    return text(found)


def name(found: object) -> str:
    """Return a name as the file gives it to credentials, stores and providers."""
    if not isinstance(found, str) or not _NAME.match(found):
        raise Wrong(
            "not a name; lower-case letters, digits, `.`, `_` and `-`, at most 63, beginning with a letter or digit"
        )
    return found


def is_name(found: str) -> bool:
    """Say whether this is a name."""
    return _NAME.match(found) is not None


def guid(found: object) -> str:
    """Return a GUID in lower case."""
    if not isinstance(found, str) or not _GUID.match(found):
        raise Wrong("not a GUID, such as 7f3c0c52-0000-4000-8000-000000000000")
    return found.lower()


def tenant(found: object) -> str:
    """Return the id of an Entra tenant, or one of its domain names, in lower case."""
    if not isinstance(found, str) or not (_GUID.match(found) or _DOMAIN.match(found)):
        raise Wrong("not a tenant; its GUID, or a domain name such as contoso.onmicrosoft.com")
    return found.lower()


def store_path(found: object) -> str:
    """Return a path in a store. Dot segments are refused: HTTP clients fold them, and a path could leave its prefix."""
    if not isinstance(found, str) or not _STORE_PATH.match(found):
        raise Wrong("not a store path; letters, digits, `.`, `_`, `-`, in segments with one `/` between them")
    if any(not segment.strip(".") for segment in found.split("/")):
        raise Wrong("a segment of dots is not allowed in a store path")
    return found


def label_key(found: object) -> str:
    """Return the key of a label."""
    if not isinstance(found, str) or not _LABEL.match(found):
        raise Wrong("not a label; letters, digits, `.`, `_`, `/`, `-`, at most 63")
    return found


def document_field(found: object) -> str:
    """Return the name of a field in a consumer document."""
    if not isinstance(found, str) or not _FIELD.match(found):
        raise Wrong("not a field name; letters, digits, `_`, `.`, `-`, at most 128")
    return found


def place_name(found: object) -> str:
    """Return the name of a place in the operations of a vendor."""
    if not isinstance(found, str) or not _PLACE.match(found):
        raise Wrong("not the name of a place; a small letter, then small letters, digits and `_`, at most 41")
    return found


def https_base(found: object) -> str:
    """Return an https URL without its last slash, for paths to be put behind it."""
    return _url(found, ("https",), "must be an https URL").rstrip("/")


def web_base(found: object) -> str:
    """Return an https URL, or an http URL of this machine, without its last slash, for paths to be put behind it."""
    url = web_url(found)
    if "?" in url:
        raise Wrong("must have no query (?), since paths are put behind it")
    return url.rstrip("/")


def web_url(found: object) -> str:
    """Return an https URL, or an http URL of this machine, as it stands: a last slash can mean another endpoint."""
    url = _url(found, ("https", "http"), "must be an https URL")
    if url.startswith("http:") and not is_of_this_machine(url):
        raise Wrong(NOT_HTTPS)
    return url


def endpoint_url(found: object) -> str:
    """Return an https or http URL as it stands. Where http may lead, `verify.unsafe_plain_http` decides."""
    return _url(found, ("https", "http"), "must be an https URL")


def is_of_this_machine(url: str) -> bool:
    """Say whether a URL leads to this machine by name or address, so that nobody is on the way."""
    return _LOOPBACK.match(urlsplit(url).hostname or "") is not None


def proxy_url(found: object) -> str:
    """Return the URL of a proxy. It is spoken to in http; what passes through it is TLS in any case."""
    return _url(found, ("http",), "must be the URL of a proxy, such as http://proxy.example.com:3128").rstrip("/")


def _url(found: object, schemes: tuple[str, ...], wrong: str) -> str:
    if not isinstance(found, str) or not _URL_TEXT.match(found):
        raise Wrong(wrong)
    try:
        parts = urlsplit(found)
        _ = parts.port
    except ValueError:
        raise Wrong(wrong) from None
    if parts.scheme not in schemes or not parts.hostname:
        raise Wrong(wrong)
    if parts.username is not None or parts.password is not None:
        raise Wrong("a user name or password must not stand in a URL")
    if parts.fragment or "#" in found:
        raise Wrong("a URL with a fragment (#) is not allowed here")
    return found


def program(found: object) -> tuple[str, ...]:
    """Return a program with its arguments."""
    if not isinstance(found, list) or not found or not all(isinstance(one, str) and one for one in found):
        raise Wrong("must be a list of program and arguments, such as [/usr/local/libexec/on-rotate]")
    if not found[0].startswith("/"):
        raise Wrong("must name the program by its absolute path")
    return tuple(found)


def listen_address(found: object, base: Path) -> str:
    """Return `host:port` on loopback, or `unix:` and an absolute path."""
    wrong = Wrong("not an address; 127.0.0.1:9633, or unix:/run/rotator/http.sock")
    if not isinstance(found, str):
        raise wrong
    if found.startswith("unix:"):
        return f"unix:{absolute(found.removeprefix('unix:'), base)}"
    host, _, port = found.rpartition(":")
    if not re.match(r"[0-9]{1,5}\Z", port, re.ASCII) or int(port) > 65535:
        raise wrong
    if not _LOOPBACK.match(host.strip("[]")):
        raise Wrong(
            "must be loopback or a Unix socket", "To reach it from elsewhere put a proxy with TLS in front of it."
        )
    return found


def absolute(found: object, base: Path) -> Path:
    """Return a path of this machine; a relative one is relative to `base`, the folder of the file that says it."""
    if not isinstance(found, str) or not found.strip() or not found.isprintable():
        raise Wrong("must be the path of a file")
    if found.startswith("~"):
        raise Wrong("`~` is not expanded; write the path out")
    return base / found


@dataclass(frozen=True, slots=True)
class Copy:
    """Where audit records are copied to. file: None for the syslog of this machine."""

    file: Path | None = None

    def __str__(self) -> str:
        return "syslog" if self.file is None else f"file:{self.file}"


def copies(found: object, base: Path) -> tuple[Copy, ...]:
    """Return where records are copied to; a relative path is relative to `base`."""
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise Wrong("must be a list, such as [syslog, file:audit.jsonl]")
    made = []
    for one in found:
        if one != "syslog" and not one.startswith("file:"):
            raise Wrong("knows `syslog` and `file:PATH`, nothing else")
        made.append(Copy() if one == "syslog" else Copy(Path(absolute(one.removeprefix("file:"), base))))
    if len(set(made)) != len(made):
        raise Wrong("names one of them twice")
    return tuple(made)


def sqlite_url(found: object, base: Path) -> str:
    """Return `sqlite:///` and an absolute path."""
    if not isinstance(found, str):
        raise Wrong("must be a URL such as sqlite:////var/lib/rotator/rotator.db")
    scheme = found.partition(":")[0]
    if scheme.startswith("postgres"):
        raise Wrong("PostgreSQL comes with a later release; use sqlite:////absolute/path or sqlite:///relative/path")
    place = found.removeprefix("sqlite:///")
    if place == found or not place.strip("/") or place.endswith("/") or set(place) & set("?#") or ":memory:" in place:
        raise Wrong("must be sqlite:////absolute/path or sqlite:///relative/path")
    return f"sqlite:///{absolute(place, base)}"
