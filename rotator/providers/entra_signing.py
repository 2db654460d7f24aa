"""Has a certificate authority sign what was made here: a program gets the request, and answers with the certificate.

It gets no key: a request (PKCS#10, RFC 2986) is the public half and the names, signed by the key. What it answers is
taken only when it certifies that very key. Stopped anywhere: nothing was sent to Entra; what the authority has signed
is of no use to anybody, because the key is gone with this process.
"""

from __future__ import annotations

from datetime import timedelta

from rotator.clock import Clock
from rotator.errors import Misconfigured, Refused, Transient
from rotator.providers.entra_keys import NotThisKey, Pair, certified, new_key, request_for
from rotator.providers.entra_settings import Signing
from rotator.wire.child import Printed, run


def signed_pair(signing: Signing, name: str, tag: str, lifetime: timedelta, clock: Clock) -> Pair:
    """Return a new key with a certificate of the authority.

    The program has the wanted lifetime in ROTATOR_LIFETIME_SECONDS; what it grants is seen in its answer. Raises
    Misconfigured when the program cannot be run, Transient when it fails or takes too long, Refused for an answer that
    is no certificate of this key.
    """
    key = new_key()
    program = signing.command[0]
    environ = {"ROTATOR_LIFETIME_SECONDS": str(int(lifetime.total_seconds()))}
    ended = run(signing.command, request_for(key, name, tag), signing.timeout, environ, Printed.KEPT)
    if not ended.ran:
        raise Misconfigured(
            f"The program that has certificates signed {ended.problem}: {program}.",
            hint="Correct `sign_with` of the provider, or make it executable for the user that rotator runs as.",
            code="signing_command",
        )
    if ended.problem is not None:
        raise Transient(
            f"The program that has certificates signed {ended.problem}: {program}.",
            hint="Try it by hand with a request: openssl req -new … | " + program,
            code="signing_failed",
        )
    try:
        return certified(key, ended.printed, clock.now())
    except NotThisKey as wrong:
        raise Refused(
            f"What {program} printed {wrong}.",
            hint="It is to print the certificate for the request on its standard input, in PEM, and nothing else.",
            code="signing_answer",
        ) from None
