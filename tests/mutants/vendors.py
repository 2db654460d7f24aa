"""Rules for vendors without an API of their own shape, and for persons, each broken by a mutant. Data only."""

from __future__ import annotations

from tests.mutants.mutant import BAD_DAYS, DESCRIBED, INTAKE, mutant

VENDORS = (
    mutant(
        "believe the end that was answered",
        "of two ends that an issuer says the earlier one counts",
        "ends.py",
        ("    return replace(version, expires_at=ends) if early else version\n", "    return version\n"),
        tests=("tests/unit/test_ends.py",),
    ),
    mutant(
        "believe an end in two generations",
        "an end ten years beyond what was asked is none",
        "ends.py",
        (
            "    if version.expires_at is not None and not too_far(version, policy):",
            "    if version.expires_at is not None:",
        ),
        tests=("tests/unit/test_ends.py",),
    ),
    mutant(
        "take a certificate for as old as its authority says",
        "a stale list never writes away what consumers have just got, whoever signed it",
        "providers/entra_keys.py",
        ("(timedelta(0) if by_us else _DATED_BACK)", "timedelta(0)"),
        tests=("tests/integration/test_entra_signing.py",),
    ),
    mutant(
        "make as many as are allowed in a run",
        "what is made in vain ends the run after the third",
        "unclear.py",
        ("    if run.unanswered >= MADE_IN_VAIN and", "    if run.unanswered >= 1000 and"),
        tests=(BAD_DAYS,),
    ),
    mutant(
        "take any certificate for the key",
        "a certificate counts only for the very key that was made",
        "providers/entra_keys.py",
        ("if one.public_key() == key.public_key()]", "]"),
        tests=("tests/integration/test_entra_signing.py",),
    ),
    mutant(
        "rely on a label that the authority left out",
        "without our label in the certificate its name must be kept, which only a PATCH promises",
        "providers/entra_certificates.py",
        ("found_again = tag_in(pair.certificate) == tag", "found_again = True"),
        tests=("tests/integration/test_entra_signing.py",),
    ),
    mutant(
        "make another when a given one was lost",
        "nobody but the person makes what is made by hand",
        "lifecycle.py",
        ("    if kit.credential.by_hand or run.rotation.reason is Reason.ADOPTED:", "    if not kit.credential:"),
        tests=(INTAKE,),
    ),
    mutant(
        "remove what a person made",
        "what a person made is left to him",
        "candidate.py",
        ("    if kit.credential.by_hand:\n        left = ", "    if not kit.credential:\n        left = "),
        tests=(INTAKE,),
    ),
    mutant(
        "rotate without the person",
        "a visit asks nobody for a version that a person makes",
        "visit.py",
        ("        if kit.credential.by_hand:  # there is nobody", "        if not kit.credential:  # there is nobody"),
        tests=(INTAKE,),
    ),
    mutant(
        "show the same value again",
        "a new version has another value",
        "promotion.py",
        ("        _see_that_it_is_another_value(run, document, values)\n", ""),
        tests=(BAD_DAYS,),
    ),
    mutant(
        "believe a vendor that finds nothing",
        "not found means gone only where the list agrees",
        "providers/described.py",
        (
            "                    return self._gone(application, key_id)\n",
            "                    return Retired.ALREADY_GONE\n",
        ),
        tests=(DESCRIBED,),
    ),
    mutant(
        "take a 5xx for not done",
        "after an unclear answer to a write nothing is known",
        "providers/described_errors.py",
        (
            "    if doing.writes and (reply.status >= 500 or reply.status == 408):\n",
            "    if doing.writes and not reply:\n",
        ),
        tests=(DESCRIBED,),
    ),
    mutant(
        "follow a list to another server",
        "our login goes to the vendor only",
        "providers/described_wire.py",
        ("        if urlsplit(url)[:2] != urlsplit(self._said.base_url)[:2]:\n", "        if not url:\n"),
        tests=(DESCRIBED,),
    ),
)
"""What must be noticed."""
