"""Credential names for the Tab key: found by their look, in milliseconds. It checks nothing and reports nothing.

A shell starts a process for every Tab, so the files are searched for `name:` lines instead of being loaded: a name too
many does no harm here, and half a second of waiting would.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from typing import Final

from rotator.cli.talk import Talk

_NAME: Final = re.compile(r"^\s*-?\s*\{?\s*name:\s*[\"']?([a-z0-9][a-z0-9._-]{0,62})[\"']?\s*(?:[,}#]|$)", re.M)
_INCLUDE: Final = re.compile(r"^include:((?:[^\n]*\n?)(?:\s+-[^\n]*\n?|\s+[^\n]*\n?)*)", re.M)
_PATTERN: Final = re.compile(r"[^\s,\[\]\"'#-][^\s,\[\]\"'#]*")
_LONGEST: Final = 16 * 1024 * 1024


def credential_names(talk: Talk, incomplete: str) -> list[str]:
    """Return the credential names that begin like this, in order; none when there is no configuration to be found."""
    path = _configuration(talk)
    texts = (_text(path), *map(_text, _included(path))) if path else ()
    found = {name for text in texts for name in _NAME.findall(text)}
    return sorted(name for name in found if name.startswith(incomplete))


def _configuration(talk: Talk) -> str | None:
    named = talk.config or talk.environ.get("ROTATOR_CONFIG")
    places = [named] if named else ["config.yaml", "/etc/rotator/config.yaml"]
    return next((place for place in places if os.path.isfile(place)), None)


def _included(path: str) -> Iterator[str]:
    found = _INCLUDE.search(_text(path))
    for pattern in _PATTERN.findall(found.group(1)) if found else ():
        yield from glob.iglob(os.path.join(glob.escape(os.path.dirname(path)), pattern))


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST)
    except OSError:
        return ""
