"""Reveals: a secret value is shown only where its bytes leave, so often and no oftener.

Whoever adds a place adds it here, with the reason why the bytes leave there.
"""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

PLACES: Final = {
    "rotator/app/handover/desk.py": 1,  # the answer to `rotator read`, over the daemon's own socket
    "rotator/app/needs.py": 1,  # a new key of the embedded store, into its file
    "rotator/app/reading.py": 2,  # `rotator read`: into a file, or down a pipe
    "rotator/notifications/webhook.py": 1,  # the key of a signature
    "rotator/wire/cleaning.py": 1,  # to mask it in what others say
    "rotator/provers/client_auth.py": 6,  # the token request
    "rotator/provers/http_probe.py": 2,  # the key, in its header; and whether a header can carry it
    "rotator/provers/jwks.py": 2,  # a token, to check its signature
    "rotator/providers/described_slot.py": 1,  # a value of our choice, on its way into a request
    "rotator/providers/keycloak.py": 2,  # the rotated secret, which is put back, or must stay in the attributes
    "rotator/providers/described_wire.py": 6,  # our own login at a vendor, in each of its ways
    "rotator/providers/entra_keys.py": 2,  # the key that signs a proof of possession, with its certificate
    "rotator/providers/entra_login.py": 2,  # our own login
    "rotator/sandbox/demo_consumers.py": 1,  # what a consumer of the demo sends
    "rotator/secret.py": 2,  # the door itself: texts and documents
    "rotator/stores/embedded_seal.py": 2,  # sealed; and the key that seals
    "rotator/stores/vault_session.py": 1,  # a login at Vault
    "rotator/stores/vault_wire.py": 4,  # to Vault: token, document, namespace
    "rotator/testing/lives.py": 1,  # what a state must not hold
    "rotator/testing/providers.py": 1,  # what an error must not hold
}
"""File -> how many calls of `reveal()`."""


def faults() -> list[str]:
    """Return each file that reveals more or less often than is known, as a sentence."""
    found = Counter(
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "rotator").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "reveal"
    )
    return [
        f"{path} reveals {found[path]} times, and {PLACES.get(path, 0)} are known; see tests/checks/reveals.py"
        for path in sorted({*found, *PLACES})
        if found[path] != PLACES.get(path, 0)
    ]
