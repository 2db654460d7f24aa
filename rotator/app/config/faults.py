"""What is wrong with a configuration, said all at once and with its place; it finds nothing itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rotator.errors import Misconfigured

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. line, column: from 1; 0 when the file could not be read. path: such as `credentials[0].name`."""

    file: Path
    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else str(self.file)
        text = f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"
        return f"{text}\n  {self.hint}" if self.hint else text


class ConfigFaults(Misconfigured):
    """The configuration cannot be used. `faults`: everything found, in the order of the files."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        text = "\n".join([*map(str, self.faults), f"{count}; nothing was contacted."])
        super().__init__(text, hint="Mend it, then look again: rotator check --offline", code="config_refused")


def key_path(parts: Iterable[str | int]) -> str:
    """Return a path as people write it: `credentials[0].labels["a b"]`."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.match(part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part[:63])}]"
    return text


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean "…"?`, or nothing when no known name is close."""
    from difflib import get_close_matches

    close = get_close_matches(name[:80], list(known), n=1, cutoff=0.6)
    return f' Did you mean "{close[0]}"?' if close else ""


def one_of(names: Iterable[str]) -> str:
    """Return names as a list in a sentence."""
    return ", ".join(names)
