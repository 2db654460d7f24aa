"""Small grammars of requests and answers: a request line, JSON pointers, statuses, headers. Pure; sends nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from rotator.app.config import values
from rotator.app.config.parts import Parsed, word
from rotator.app.config.values import Wrong
from rotator.label import LONGEST, SHORTEST
from rotator.wire.filling import Pointer, pointer

_REQUEST = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (/[!-~]*)\Z", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9-]{1,80}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    """Method and path of a request: `POST /apps/{app}/secrets`."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Place:
    """A JSON pointer, as it is written and as it is followed."""

    text: str
    parts: Pointer

    def __str__(self) -> str:
        return self.text


def _request(found: object) -> Line:
    match = _REQUEST.match(found) if isinstance(found, str) else None
    if match is None:
        allowed = "Methods: GET, POST, PUT, PATCH, DELETE. The path begins with / and stands below `base_url`."
        raise Wrong("must be a method and a path, such as POST /apps/{app}/secrets", allowed)
    if "#" in match[2] or "/../" in f"{match[2]}/":
        raise Wrong("a path must not hold # or dot segments")
    return Line(match[1], match[2])


def _pointer(found: object) -> Place:
    try:
        return Place(str(found), pointer(found if isinstance(found, str) else "?"))
    except ValueError:
        raise Wrong('must be a JSON pointer, such as /client_secret, or "" for the whole answer') from None


def _next_page(found: object) -> Place | Literal["link"]:
    try:
        return "link" if found == "link" else _pointer(found)
    except Wrong as wrong:
        raise Wrong(wrong.message, "Or `link`, where the next page stands in the Link header.") from None


def _statuses(found: object) -> tuple[int, ...]:
    listed = found if isinstance(found, list) else [found]
    if not listed or not all(type(one) is int and 200 <= one <= 599 for one in listed):
        raise Wrong("must be HTTP statuses, such as [200, 201]")
    return tuple(listed)


def _successes(found: object) -> tuple[int, ...]:
    if 401 in (statuses := _statuses(found)):
        raise Wrong("401 says that a key is wrong, so it cannot be a success")
    return statuses


def _error_status(found: object) -> int:
    if type(found) is not int or not 300 <= found <= 599:
        raise Wrong("must be an HTTP status of an error, such as 422")
    return found


def _header_name(found: object) -> str:
    if not isinstance(found, str) or not _HEADER.match(found):
        raise Wrong("must be the name of a header")
    return found


def _own_header_name(found: object) -> str:
    name = _header_name(found)
    if name.lower() in ("authorization", "proxy-authorization", "cookie"):
        raise Wrong("a login does not stand in an operation", "Say it under `auth`, where secrets are references.")
    if name.lower() in ("host", "content-length", "transfer-encoding", "connection"):
        raise Wrong("is set by rotator for each request", "Leave it out.")
    return name


def _json(found: object) -> Any:
    if not isinstance(found, dict | list):
        raise Wrong("must be a mapping or a list, which is sent as JSON")
    return found


def _scalar(found: object) -> object:
    if isinstance(found, dict | list):
        raise Wrong("must be a text, a number, true, false or null")
    return found


def _per_second(found: object) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0.001 <= found <= 1000:
        raise Wrong("must be a number of requests, from 0.001 to 1000")
    return float(found)


def _probe(found: object) -> Line:
    """Return method and address of `GET https://api.example.com/v3/scopes`."""
    method, _, url = found.partition(" ") if isinstance(found, str) else ("", "", "")
    if method not in ("GET", "HEAD", "POST"):
        raise Wrong("must be a method and an address, such as GET https://api.example.com/v1/me")
    return Line(method, values.endpoint_url(url))


_POINTER_SCHEMA = word("a JSON pointer", pattern="^(/.*)?$")


def _label_length(found: object) -> int:
    if type(found) is not int or not SHORTEST <= found <= LONGEST:
        hint = "In a shorter one ours could not be told apart; where the vendor keeps more, leave it out."
        raise Wrong(f"must be a number of characters, from {SHORTEST} to {LONGEST}", hint)
    return found


_STATUS = {"type": "integer", "minimum": 200, "maximum": 599}

PointerText = Annotated[Place, Parsed(_pointer, _POINTER_SCHEMA)]
NextPage = Annotated[Place | Literal["link"], Parsed(_next_page, word("a JSON pointer, or link"))]
Statuses = Annotated[
    tuple[int, ...], Parsed(_statuses, {"anyOf": [_STATUS, {"type": "array", "items": _STATUS, "minItems": 1}]})
]
Successes = Annotated[
    tuple[int, ...], Parsed(_successes, {"anyOf": [_STATUS, {"type": "array", "items": _STATUS, "minItems": 1}]})
]
RequestLine = Annotated[
    Line,
    Parsed(_request, word("method and path", pattern="^(GET|POST|PUT|PATCH|DELETE) /.*$")),
]
ErrorStatus = Annotated[int, Parsed(_error_status, {"type": "integer", "minimum": 300, "maximum": 599})]
HeaderName = Annotated[str, Parsed(_header_name, word("the name of a header"))]
ProbeLine = Annotated[Line, Parsed(_probe, word("method and address", pattern="^(GET|HEAD|POST) https?://.+$"))]
OwnHeaderName = Annotated[str, Parsed(_own_header_name, word("the name of a header"))]
LabelLength = Annotated[int, Parsed(_label_length, {"type": "integer", "minimum": SHORTEST, "maximum": LONGEST})]
Json = Annotated[Any, Parsed(_json, {"type": ["object", "array"]})]
Scalar = Annotated[object, Parsed(_scalar)]
PerSecond = Annotated[float, Parsed(_per_second, {"type": "number", "minimum": 0.001, "maximum": 1000})]
PlaceName = Annotated[str, Parsed(values.place_name, word("the name of a place", pattern="^[a-z][a-z0-9_]{0,40}$"))]
