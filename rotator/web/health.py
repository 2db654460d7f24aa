"""Says whether all is well, as JSON for machines: one word, and a reason for each thing that is not. It looks at none.

`/healthz` is about the process: while its working loop lives, a restart would mend nothing. `/readyz` is about its
work: whether a rotation that came due now could be made and written down.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

OK: Final = 200
UNAVAILABLE: Final = 503


@dataclass(frozen=True, slots=True)
class Ailment:
    """One thing that is not well. code: for machines; message: one sentence; hint: what to do."""

    code: str
    message: str
    hint: str = ""


def answer(ailments: Sequence[Ailment]) -> tuple[int, bytes]:
    """Return the HTTP status and the JSON that says it."""
    reasons = [{"code": one.code, "message": one.message, "hint": one.hint or None} for one in ailments]
    said = {"status": "unavailable" if reasons else "ok", "reasons": reasons}
    return UNAVAILABLE if reasons else OK, json.dumps(said, ensure_ascii=False).encode() + b"\n"
