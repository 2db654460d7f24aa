"""How our versions are labelled at an issuer, and how they are known again by their label. Contacts nobody.

The label is `rotator/<install>/<credential>/<rotation>/<attempt>`. Where the issuer's field is shorter than that, its
end is kept, and a digest stands for what is before it; the end tells rotations apart, the digest installs and
credentials.
"""

from __future__ import annotations

import hashlib
from typing import Final

from rotator.model import Credential

ROOT: Final = "rotator"

SHORTEST: Final = 32
"""The least that an issuer must keep: the digest, and enough of the end to tell rotations apart."""

LONGEST: Final = 128
"""What is always enough: a name has 63 characters at most."""

_DIGEST: Final = 16
_END: Final = 36
"""Characters of a rotation and an attempt below a thousand."""


def prefix(install: str, credential: Credential) -> str:
    """Return what the labels of all our versions of one credential begin with."""
    whole = f"{ROOT}/{install}/{credential.name}/"
    longest = credential.longest_label
    return whole if longest is None or len(whole) + _END <= longest else _digest(whole)


def label(install: str, credential: Credential, rotation_id: str, attempt: int) -> str:
    """Return the label for one creation. A new attempt always gets a new one."""
    begins, end = prefix(install, credential), f"{rotation_id}/{attempt}"
    if credential.longest_label is not None:
        end = end[-(credential.longest_label - len(begins)) :]
    return begins + end


def is_ours(install: str, credential: Credential, found: str | None) -> bool:
    """Say whether a label found at the issuer is one of ours for this credential, also when it is of another length
    than it would be now."""
    whole = f"{ROOT}/{install}/{credential.name}/"
    return found is not None and bool(install) and found.startswith((whole, _digest(whole)))


def _digest(text: str) -> str:
    return f"{hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]}/"
