"""Rules of retiring and sweeping, and of everything that a pass is, each broken by a mutant. Data only."""

from __future__ import annotations

from tests.mutants.mutant import BAD_DAYS, DOCUMENTS, FOUR, LIFE, PEOPLE, RECOVERY, mutant

ENDING = (
    # ------------------------------------------------------------------------------------------------------- retirement
    mutant(
        "retire before promote",
        "what is replaced is retired after the promotion",
        "promotion.py",
        (
            "    announced = run.put(phase=Phase.PROMOTING)\n",
            (
                "    announced = run.put(phase=Phase.PROMOTING)\n"
                "    before = run.replaced()\n"
                "    if before is not None:\n"
                "        kit.provider.retire(kit.credential.application, before.key_id)\n"
            ),
        ),
        tests=(LIFE,),
    ),
    mutant(
        "retire by the wall clock",
        "a grace never ends by a difference of wall clocks alone",
        "endings.py",
        (
            "    return grace - min(known) if known else None\n",
            "    return moment.local.wall + grace - scene.at.wall\n",
        ),
        tests=(FOUR,),
    ),
    mutant(
        "the fastest clock ends a grace",
        "the slowest of all known clocks counts",
        "endings.py",
        ("    return grace - min(known) if known else None\n", "    return grace - max(known) if known else None\n"),
        tests=(RECOVERY,),
    ),
    mutant(
        "grace skipped on our own clock",
        "only the issuer's word and Date cut a grace short",
        "promotion.py",
        ("    issuer_now = run.listing.issuer_now\n    ends", "    issuer_now = run.kit.clock.now()\n    ends"),
        tests=(PEOPLE,),
    ),
    mutant(
        "retire without a proof of the successor",
        "nothing is retired before its successor was proved",
        "endings.py",
        ("    if verdict.answer is Answer.PROVED:\n        return\n", "    return\n"),
        tests=(PEOPLE,),
    ),
    mutant(
        "retire what consumers read",
        "nothing is retired that the document names",
        "endings.py",
        (
            "key_id in ending or current is None or current.key_id != key_id:",
            "current is None:",
        ),
        tests=(RECOVERY,),
    ),
    mutant(
        "remove a candidate that was read",
        "what consumers have read goes through a grace",
        "candidate.py",
        ("    if number is not None:\n", "    if number is not None and not number:\n"),
        tests=(DOCUMENTS,),
    ),
    mutant(
        "no published end",
        "an end is published in the staging document before the call",
        "endings.py",
        ("        claim.publish(stage=Stage.RETIRING, retiring=_with(claim.document.retiring, versions))\n", ""),
        tests=(RECOVERY,),
    ),
    mutant(
        "back to what is dying",
        "what is published as ending is never shown again",
        "visit.py",
        ("one.origin in _OWN and one.key_id not in dying]", "one.origin in _OWN]"),
        tests=(RECOVERY,),
    ),
    mutant(
        "compensate a failed retirement",
        "a failed retirement is never made good by removing the successor",
        "endings.py",
        (
            "            remove(kit, version, reason, evidence.get(version.key_id))\n",
            (
                "            try:\n                remove(kit, version, reason, evidence.get(version.key_id))\n"
                "            except RotatorError:\n"
                "                new = key_in(kit, kit.store.consumers.read(kit.credential.path).fields)\n"
                '                kit.provider.retire(kit.credential.application, new or "")\n'
                "                raise\n"
            ),
        ),
        tests=(BAD_DAYS,),
    ),
    mutant(
        "forget what was to be retired",
        "the list of what ends lasts until it is gone",
        "staging.py",
        (
            "keepsakes=kept, promote_at=None, **changes)\n",
            'keepsakes=kept, promote_at=None, **{"retiring": (), **changes})\n',
        ),
        tests=(RECOVERY,),
    ),
    mutant(
        "no brake",
        "three that fail alike stop all retiring at their provider",
        "endings.py",
        ("    if on is not None:\n", "    if on is not None and not on.names:\n"),
        tests=(PEOPLE,),
    ),
    # ---------------------------------------------------------------------------------------------------------- orphans
    mutant(
        "sweep foreign versions",
        "only what carries our label is an orphan",
        "survey.py",
        ("if kit.owns(one.tag) and one.key_id not in named | {current}]", "if one.key_id not in named | {current}]"),
        tests=(PEOPLE,),
    ),
    mutant(
        "sweep another credential's versions",
        "a label names one credential",
        "label.py",
        ("found.startswith((whole, _digest(whole)))", 'found.startswith(f"{ROOT}/")'),
        tests=(PEOPLE,),
    ),
    mutant(
        "sweep without the claim",
        "orphans are removed with the claim held",
        "sweeping.py",
        ('    claim = Claim.begin(kit, rotation_id="")\n', ""),
        ("                claim.renew()\n", ""),
        ("    claim.release()\n", ""),
        tests=(RECOVERY,),
    ),
    mutant(
        "sweep at first sight",
        "an orphan is listed twice, a quarantine apart",
        "sweeping.py",
        ("if one.times > 1}", "}"),
        ("if age is not None and age >= quarantine)", "if age is not None and quarantine)"),
        (
            "        waits.append(max(kit.credential.policy.quarantine - age, timedelta(0)))\n",
            "        waits.append(timedelta(0))\n",
        ),
        tests=(RECOVERY,),
    ),
    mutant(
        "history explains nothing",
        "what a version of the consumers' document names is no orphan",
        "survey.py",
        ("    for number in kit.store.consumers.history(kit.credential.path):\n", "    for number in ():\n"),
        tests=(FOUR,),
    ),
    # --------------------------------------------------------------------------------------------------------- the rest
    mutant(
        "rotate before retire and sweep",
        "a pass finishes, retires and sweeps before it rotates",
        "visit.py",
        (
            "            self._end(tracked, scene)\n",
            "            self._rotate(scene, dead=dead)\n            self._end(self._tracked(), scene)\n",
        ),
        tests=(FOUR,),
    ),
    mutant(
        "no clock guard",
        "nothing starts because of time when the clocks disagree",
        "survey.py",
        ("        if skew is not None:", "        if skew is not None and not self.at:"),
        tests=(FOUR,),
    ),
    mutant(
        "no binding",
        "a name stands for one application, one issuer and one path",
        "staging.py",
        ("    if bound != credential.binding:", "    if not bound:"),
        tests=(FOUR,),
    ),
    mutant(
        "take a live claim",
        "a claim that is renewed is another's",
        "staging.py",
        ("TAKE_OVER_AFTER = timedelta(minutes=2)", "TAKE_OVER_AFTER = timedelta(0)"),
        tests=(RECOVERY,),
    ),
    mutant(
        "no creation cap",
        "so many versions a day, then a person looks",
        "candidate.py",
        ("    if made < limit:", "    if made < limit * 1000:"),
        tests=(PEOPLE,),
    ),
    mutant(
        "clamp removed",
        "nobody makes us wait longer than six hours",
        "timing.py",
        ("    return min(max(wait, timedelta(seconds=1)), longest)\n", "    return max(wait, timedelta(seconds=1))\n"),
        tests=(BAD_DAYS,),
    ),
    mutant(
        "wait until it is dead",
        "no wait that somebody asks for outlasts the secret in use",
        "timing.py",
        ("max(left / 2, LEAST_PATIENCE)", "LONGEST_RETRY"),
        tests=(BAD_DAYS,),
    ),
    mutant(
        "go on with what another undoes",
        "what another rotator has begun to undo is undone",
        "recovery.py",
        ("    if claim.document.stage is Stage.ABANDONING and rotation", "    if not claim.document and rotation"),
        tests=(RECOVERY,),
    ),
    mutant(
        "take over without a look",
        "who takes over looks first what is in use",
        "recovery.py",
        (
            "    current = current_version(reconcile(kit, scene))\n",
            (
                "    tracked = kit.ledger.tracked(kit.credential.name)\n"
                "    current = current_version(tracked) if tracked is not None else None\n"
            ),
        ),
        tests=(RECOVERY,),
    ),
    mutant(
        "a grace that another state began anew is not noticed",
        "what was shown again has a new grace",
        "survey.py",
        ("    _renew_graces(kit, before, scene)\n", ""),
        tests=(RECOVERY,),
    ),
)
