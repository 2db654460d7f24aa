"""Rules of making, proving and showing a version, each broken by a mutant. Data only."""

from __future__ import annotations

from tests.mutants.mutant import ANY, BAD_DAYS, CRASHES, DOCUMENTS, FOUR, LIFE, RECOVERY, mutant

MAKING = (
    # ----------------------------------------------------------------------------------------------- written down first
    mutant(
        "journal after effect",
        "a mutating call is written down before it is made",
        "kit.py",
        (
            (
                "    kit.ledger.record(replace(event, outcome=Outcome.INTENDED), intent, *changes)\n    try:\n"
                "        return call()\n"
            ),
            (
                "    try:\n        done = call()\n"
                "        kit.ledger.record(replace(event, outcome=Outcome.INTENDED), intent, *changes)\n"
                "        return done\n"
            ),
        ),
        tests=(CRASHES,),
    ),
    mutant(
        "repeat without a look",
        "after an unknown outcome nothing is repeated before it was looked",
        "lifecycle.py",
        ("        settle_creation(run)\n        if run.trouble", "        if run.trouble"),
        tests=(BAD_DAYS,),
    ),
    mutant(
        "no quarantine",
        "absence is believed only after the quarantine of the request",
        "unclear.py",
        ("max(quarantine - since, min(LISTS_APART, quarantine))", "timedelta(0)"),
        tests=(BAD_DAYS,),
    ),
    mutant(
        "unknown counts as refused",
        "a lost answer is a third outcome",
        "kit.py",
        (
            "        _failed(kit, intent, event, Outcome.UNKNOWN, unclear)",
            "        _failed(kit, intent, event, Outcome.REFUSED, unclear)",
        ),
        tests=(BAD_DAYS,),
    ),
    # ----------------------------------------------------------------------------------------------------------- proofs
    mutant(
        "promote unproved",
        "only a proved value is shown",
        "proving.py",
        ("    wait = FIRST_WAIT\n", "    wait = FIRST_WAIT\n    return Proof(proofs, proofs, started, None, None)\n"),
        tests=(BAD_DAYS,),
    ),
    mutant(
        "cached proof",
        "a success of an earlier value of the same client proves nothing",
        "proving.py",
        (
            "        verdict = kit.prover.prove(client_id, values, kit.clock.now())\n        tries += 1\n",
            (
                "        tracked = kit.ledger.tracked(kit.credential.name)\n"
                "        known = tracked is not None and tracked.state.proved_at is not None\n"
                '        cached = Verdict(Answer.PROVED, "ok", "from a cache", issuer_now=kit.clock.now())\n'
                "        verdict = cached if known else kit.prover.prove(client_id, values, kit.clock.now())\n"
                "        tries += 1\n"
            ),
        ),
        tests=(BAD_DAYS,),
    ),
    mutant(
        "one proof instead of several",
        "several proofs in a row",
        "proving.py",
        ("            if successes >= proofs:", "            if successes >= 1:"),
        tests=(LIFE, BAD_DAYS),
    ),
    mutant(
        "proofs need not be in a row",
        "a refusal starts the count anew",
        "proving.py",
        ("            successes, refusals = 0, refusals + 1", "            refusals += 1"),
        tests=(BAD_DAYS, ANY),
    ),
    mutant(
        "proof remembered across a restart",
        "a proof is never remembered across a restart",
        "promotion.py",
        ("    if run.proof is not None:\n", "    if run.proof is not None or run.rotation.proofs:\n"),
        tests=(RECOVERY,),
    ),
    mutant(
        "old proof holds",
        "a value is shown at most a minute after its last proof",
        "promotion.py",
        ("PROOF_HOLDS: Final = timedelta(seconds=60)", "PROOF_HOLDS: Final = timedelta(days=60)"),
        tests=(RECOVERY,),
    ),
    mutant(
        "no negative control",
        "a check that cannot say no proves nothing",
        "visit.py",
        ("            control(kit, tracked.state, client_id)\n", "            pass\n"),
        tests=(BAD_DAYS,),
    ),
    mutant(
        "prove what is remembered",
        "what is proved and promoted is the copy that was read back",
        "candidate.py",
        ("    if run.claim.staged_values() != values:", "    if values != values:"),
        tests=(RECOVERY,),
    ),
    # -------------------------------------------------------------------------------------------------------- promotion
    mutant(
        "no check-and-set on the consumers' document",
        "the document is written from the version that was read",
        "promotion.py",
        (
            "        return write_it(kit.credential.path, after, document.version)\n",
            (
                "        latest = kit.store.consumers.read(kit.credential.path).version\n"
                "        return write_it(kit.credential.path, after, latest)\n"
            ),
        ),
        tests=(FOUR, DOCUMENTS),
    ),
    mutant(
        "overwrite what somebody edited",
        "an edited document is never overwritten",
        "promotion.py",
        ("    return edited(run.kit, base, before, document)\n", "    return None\n"),
        tests=(DOCUMENTS,),
    ),
    mutant(
        "claim not confirmed before the promotion",
        "each try confirms the claim by check-and-set before it proves and writes",
        "promotion.py",
        (
            "    run.claim.publish(stage=Stage.PROMOTING, base_version=document.version, previous=previous)\n",
            "",
        ),
        tests=(FOUR,),
    ),
    mutant(
        "no fence on undo",
        "who undoes an announced promotion writes the document first",
        "lifecycle.py",
        ("            fence(run, document)\n", "            pass\n"),
        tests=(FOUR,),
    ),
    mutant(
        "no fence where there is no document",
        "the fence needs no document before it",
        "lifecycle.py",
        ("            fence(run, document)\n", "            fence(run, document) if document.fields else None\n"),
        tests=(ANY,),
    ),
    mutant(
        "no previous in the staging document",
        "what is replaced is named in the staging document until it is retired",
        "promotion.py",
        ("base_version=document.version, previous=previous)", "base_version=document.version)"),
        tests=(RECOVERY,),
    ),
    mutant(
        "a faded candidate is promoted",
        "a candidate that nears its own end is not shown",
        "promotion.py",
        ("        return changed or faded(run, run.claim.document.values)\n", "        return changed\n"),
        tests=(BAD_DAYS,),
    ),
    mutant(
        "too short is good enough",
        "a version that would be due at once is not shown",
        "lifecycle.py",
        ("        if (shortfall := too_short(run)) is not None:", "        if (shortfall := too_short(run)) is run:"),
        tests=(BAD_DAYS,),
    ),
)
