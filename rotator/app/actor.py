"""In whose name this run acts, for the record; it authenticates nobody."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping

_LONGEST = 64


def actor_of(environ: Mapping[str, str], uid: int | None = None) -> str:
    """Return the login name of the real user, else the uid; for root under sudo, of who called sudo.

    Only root is asked for $SUDO_UID: anybody else could have set it himself. $SUDO_USER is only a name, so the name is
    looked up again (sudo(8), "Environment").
    """
    uid = os.getuid() if uid is None else uid
    caller = environ.get("SUDO_UID", "")
    if uid == 0 and caller.isascii() and caller.isdigit() and len(caller) <= 10:
        uid = int(caller)
    try:
        name = pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return f"uid {uid}"
    return name[:_LONGEST] if name and name.isprintable() else f"uid {uid}"
