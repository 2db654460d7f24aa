"""Rules of issuers with a single slot, and of adoption, each broken once."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutant

SLOTS_TESTS: Final = ("tests/crash/test_single_slot_crashes.py",)
LIES: Final = ("tests/crash/test_single_slot_lies.py",)
ADOPTION: Final = ("tests/crash/test_adoption_crashes.py",)

SLOTS: Final[tuple[Mutant, ...]] = (
    mutant(
        "set what is not durable",
        "the issuer is told the value that lies in the staging document",
        "chosen.py",
        ('    value = values.secret("client_secret")\n', "    value = kit.slot.choose()\n"),
        tests=SLOTS_TESTS,
    ),
    mutant(
        "no wait for a request that is on its way",
        "no second value is asked for while a request may still take effect",
        "single_slot.py",
        ("    if left > _NOTHING:\n", "    if left < _NOTHING:\n"),
        tests=SLOTS_TESTS,
    ),
    mutant(
        "a value is dropped when the store is away",
        "a value that exists nowhere else is offered to the staging area again",
        "single_slot.py",
        ("        run.claim.keep(**", "        run.claim.publish(**"),
        tests=SLOTS_TESTS,
    ),
    mutant(
        "a lost value is none",
        "a value that was lost counts as made",
        "single_slot.py",
        ("(event, *(settled(one) for one in unclear))", "(event, *(settled(one, Outcome.REFUSED) for one in unclear))"),
        tests=LIES,
    ),
    mutant(
        "what was not done counts",
        "an unanswered call counts for nothing where what it would have ended works still",
        "single_slot.py",
        ('settle(Outcome.REFUSED, "what consumers', 'settle(Outcome.SUCCEEDED, "what consumers'),
        tests=LIES,
    ),
    mutant(
        "each try to set counts",
        "one value that is set again is one creation",
        "persistence/views.py",
        ("count(DISTINCT coalesce(tag, id))", "count(*)"),
        tests=("tests/contract/test_ledger_contract.py",),
    ),
    mutant(
        "a client that was lost is none",
        "a registration whose answer was lost counts as made",
        "unclear.py",
        ("if kit.keeping is None else Outcome.SUCCEEDED", "if kit.keeping is None else Outcome.REFUSED"),
        tests=("tests/crash/test_registration_crashes.py",),
    ),
    mutant(
        "a token without its role is none",
        "a value that the issuer has is shown over one that it has not, whatever its token lacks",
        "promotion.py",
        ("    if ours not in TAKEN or (", "    if ours is not Answer.PROVED or ("),
        tests=SLOTS_TESTS,
    ),
    mutant(
        "a token without its role is thrown away",
        "what somebody wrote stays when its issuer has it, whatever its token lacks",
        "promotion.py",
        (" or (theirs in TAKEN and ours is not Answer.PROVED):", ":"),
        tests=SLOTS_TESTS,
    ),
    mutant(
        "no rehearsal",
        "the way to the staging area is tried before a value is made that is shown once",
        "single_slot.py",
        ("        _rehearse(run)\n", "        pass\n"),
        tests=SLOTS_TESTS,
    ),
    mutant(
        "a late change is not noticed",
        "what the issuer has in the end is what consumers read",
        "single_slot.py",
        (
            "    if not _found_another(run, looks):\n        return False\n    event",
            "    if run:\n        return False\n    event",
        ),
        tests=SLOTS_TESTS,
    ),
    mutant(
        "believe whatever is read",
        "what is read and does not work is shown to nobody",
        "single_slot.py",
        ("        if _to_be_believed(run, found, shown):\n", "        if found:\n"),
        tests=LIES,
    ),
    mutant(
        "throw away what may be in use",
        "a value that we chose is kept while nobody knows whether its issuer has it",
        "chosen.py",
        ("    if theirs in TAKEN:\n", "    if theirs:\n"),
        tests=LIES,
    ),
    mutant(
        "replace what cannot be proved",
        "where nothing can be taken back, nothing is begun that could not be proved",
        "single_slot.py",
        ("    if procedure.single_slot and verdict.answer is Answer.UNFIT:\n", "    if procedure is None:\n"),
        tests=LIES,
    ),
    mutant(
        "replace again what was granted too short",
        "no gap follows another",
        "single_slot.py",
        (
            "        if (shortfall := too_short(run)) is not None:\n",
            "        if (shortfall := too_short(run)) is run:\n",
        ),
        tests=LIES,
    ),
    mutant(
        "what somebody wrote is written over though it works",
        "with a single slot the value that works stays",
        "promotion.py",
        (
            "    if theirs is Answer.PROVED or (theirs in TAKEN and ours is not Answer.PROVED):\n",
            "    if theirs is None:\n",
        ),
        tests=SLOTS_TESTS,
    ),
    mutant(
        "nobody accepted the gap",
        "a value that is shown once is made only where the policy accepts a gap",
        "planner.py",
        ("    return procedure is Procedure.BLIND or reason not in", "    return False and reason not in"),
        tests=("tests/integration/test_single_slot_vendors.py",),
    ),
    mutant(
        "adopt what does not work",
        "what is adopted was proved",
        "adoption.py",
        ("    if verdict.answer is Answer.PROVED:\n", "    if verdict:\n"),
        tests=ADOPTION,
    ),
    mutant(
        "remove what was to be adopted",
        "what is not adopted is left as it was",
        "candidate.py",
        ("    if run.rotation.reason is Reason.ADOPTED:\n        told", "    if not kit:\n        told"),
        tests=ADOPTION,
    ),
    mutant(
        "what came with a version is forgotten",
        "what an issuer wants to see when a version is removed is kept as long as that lives",
        "staging.py",
        ("        kept = tuple(one for one in self.document.keepsakes if one[0] not in gone)\n", "        kept = ()\n"),
        tests=("tests/crash/test_registration_crashes.py",),
    ),
    mutant(
        "what came with a version is kept for ever",
        "and no longer",
        "staging.py",
        ("if one[0] not in gone)\n", "if one[0])\n"),
        tests=("tests/crash/test_registration_crashes.py",),
    ),
    mutant(
        "end what is in use",
        "what was used within the last grace is not ended",
        "drain.py",
        ("now - last < kit.credential.policy.grace", "now < last"),
        tests=("tests/unit/test_when_unused.py",),
    ),
    mutant(
        "trust a report that stands still",
        "only what the report has reached counts as not used",
        "drain.py",
        ("successor - quiet_since < kit.credential.policy.grace", "now < quiet_since"),
        tests=("tests/unit/test_when_unused.py",),
    ),
    mutant(
        "let one that has no end live for ever",
        "what has no end is ended a lifetime after it was replaced",
        "drain.py",
        ("return plus(version.displaced.local.wall, kit.credential.policy.lifetime)", "return None"),
        tests=("tests/unit/test_when_unused.py",),
    ),
    mutant(
        "adopt what nobody knows the age of",
        "a version without a window would never be replaced in time",
        "adoption.py",
        ("if made is None and ends is None:", "if False:"),
        tests=("tests/crash/test_adoption_crashes.py",),
    ),
    mutant(
        "adopt what is named, whatever it begins with",
        "a key that begins otherwise is somebody else's",
        "adoption.py",
        ("hint is not None and value is not None and not", "hint is not None and value is None and not"),
        tests=("tests/crash/test_adoption_crashes.py",),
    ),
    mutant(
        "adopt what is named, whatever certificate it is",
        "another certificate than the one in use is somebody else's",
        "adoption.py",
        ("certificate is not None and listed.certificate != certificate", "certificate is None"),
        tests=("tests/crash/test_certificate_crashes.py",),
    ),
    mutant(
        "show what is prepared too early",
        "what is prepared waits",
        "run.py",
        ("at is not None and self.kit.clock.now() < at", "at is None and self.kit.clock.now() != at"),
        tests=("tests/unit/test_prepared_ahead.py",),
    ),
    mutant(
        "another state shows what is prepared",
        "what is prepared waits, whoever finds it",
        "prepared.py",
        ("        return not asked and elsewhere is not None and now < elsewhere\n", "        return False\n"),
        tests=("tests/unit/test_prepared_ahead.py",),
    ),
    mutant(
        "another state shows over a secret of somebody else",
        "what was prepared elsewhere is shown over no secret that somebody has written since",
        "prepared.py",
        (" and ours_in(kit, before) == ours_in(kit, now)\n", "\n"),
        tests=("tests/unit/test_prepared_ahead.py",),
    ),
    mutant(
        "a wrong clock shows what is prepared",
        "nothing starts because of time while the clocks disagree",
        "prepared.py",
        ("scene.document.store_now) is not None:\n", "scene.document.store_now) is kit:\n"),
        tests=("tests/unit/test_prepared_ahead.py",),
    ),
)
