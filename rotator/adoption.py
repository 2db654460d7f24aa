"""Takes what others made under management. It makes nothing at an issuer, and removes nothing there.

That is what consumers read today, when a person says so; and what somebody made at the issuer in the place of it. An
adoption is a rotation whose new version is the one that is there already: it is staged, proved and written into the
document with our fields beside it, by the same steps and with the same recovery. What is abandoned is left as it was.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from rotator.candidate import candidate_of
from rotator.document import certificate_in, client_in, key_in, moment_in, ours_in, provable, value_in
from rotator.errors import Refused, Unproved
from rotator.event import EventName
from rotator.kit import Kit
from rotator.lifecycle import begin, live
from rotator.model import Origin, Phase, Procedure, Reason, Rotation, Trouble
from rotator.planner import current_version
from rotator.ports import Answer, Issued, Listed, Tracked
from rotator.proving import control, prove_current, silence
from rotator.run import Run
from rotator.secret import Fields
from rotator.survey import Scene, read
from rotator.timing import plus, spell_moment


def adopt(kit: Kit, tracked: Tracked, key_id: str | None, issued_at: datetime | None = None) -> Rotation:
    """Make the version that consumers read one of ours. key_id: which one it is at the issuer; None: find out.

    tracked: what the ledger knows, with nothing unfinished. issued_at: when it was made, where neither the issuer nor
    the document says. Raises Refused when there is nothing to adopt, when it is ours already or does not get a token,
    when nobody can tell which one it is (code `which_key`), or since when it is valid (`which_window`, or
    `wrong_window` for a moment that cannot be). Stopped anywhere: the next run goes on, or leaves everything as it was.
    """
    scene = read(kit)
    fields = scene.document.fields
    if fields is None or not provable(kit, fields):
        raise Refused(
            f"{kit.credential.path} holds no version that could be adopted.",
            hint=f"Make the first one: rotator rotate {kit.credential.name}",
            code="no_document",
        )
    current = current_version(tracked)
    if current is not None and current.origin is not Origin.FOREIGN:
        raise Refused(
            f"rotator manages the version in use of {kit.credential.name} already ({current.key_id}).",
            hint=f"See: rotator status {kit.credential.name}",
            code="already_managed",
        )
    ours = ours_in(kit, fields)
    _see_it_works(kit, ours)
    control(kit, tracked.state, client_in(kit, ours))
    listed = _with_window(kit, ours, _which(kit, scene, ours, key_id), issued_at)
    values = {name: value for name in kit.credential.carries if (value := ours.secret(name)) is not None}
    issued = Issued(listed, client_in(kit, ours), Fields(values), scene.listing.issuer_now)
    run = _begun(kit, scene, issued, EventName.CREDENTIAL_ADOPTED)
    live(run)
    if run.rotation.phase is Phase.ABANDONED and run.trouble is not None:
        raise run.trouble
    return run.rotation


def _begun(kit: Kit, scene: Scene, issued: Issued, name: EventName, detail: str | None = None) -> Run:
    run = begin(kit, scene, Reason.ADOPTED)
    version = candidate_of(run, issued.version, origin=Origin.ADOPTED)
    event = run.event(name, key_id=version.key_id, detail=detail)
    taken = run.put(phase=Phase.CREATING, attempt=1, key_id=version.key_id, tag=version.tag)
    kit.ledger.record(event, version, taken)
    run.issued = issued
    return run


def take_found(kit: Kit, tracked: Tracked, scene: Scene) -> Run | Trouble | None:
    """Begin to show consumers what somebody else made at the issuer; it is ours from then on, as if adopted.

    Returns what to tell a person instead where it gets no token: it is not begun with, so that nothing has to be
    undone. None when there is nothing of the kind. Stopped anywhere: the next run finds it again.
    """
    found = _made_elsewhere(kit, tracked, scene)
    if found is None:
        return None
    key_id, client_id = found.version.key_id, found.client_id or tracked.state.client_id or kit.credential.client_id
    control(kit, tracked.state, client_id)
    verdict = kit.prover.prove(client_id, found.values, kit.clock.now())
    if verdict.answer is not Answer.PROVED:
        message = f"Somebody made {key_id} at the issuer of {kit.credential.name}, which does not pass"
        hint = "Consumers read the one before, which ends there by itself: mend it at the issuer before that."
        return Trouble(verdict.code, f"{message}: {verdict.message}", hint, kit.clock.now())
    detail = "somebody has made another at the issuer; consumers are shown it before theirs ends"
    return _begun(kit, scene, found, EventName.DRIFT_FOUND, detail)


def _made_elsewhere(kit: Kit, tracked: Tracked, scene: Scene) -> Issued | None:
    """Return what somebody else made at the issuer in the place of what consumers read, which ends there by itself.

    Only an issuer that shows a value again has it, and only one with two of them leaves the time to show it to
    consumers.
    """
    fields = scene.document.fields
    if kit.single is None or kit.keeping is not None or scene.listing.procedure is not Procedure.OVERLAP:
        return None
    known = {one.key_id for one in tracked.versions} | {key_in(kit, fields)}
    if fields is None or not provable(kit, fields) or all(one.key_id in known for one in scene.listing.versions):
        return None
    try:
        found = kit.single.read(kit.credential.application)
    except Refused:  # what cannot be read cannot be shown
        return None
    same = found.values.secret("client_secret") == value_in(kit, ours_in(kit, fields))
    return None if same or found.version.key_id in known else found


def _see_it_works(kit: Kit, ours: Fields) -> None:
    verdict = prove_current(kit, client_in(kit, ours), ours)
    if verdict.answer is Answer.PROVED:
        return
    message = f"The version in use of {kit.credential.name} does not pass, so it is not adopted: {verdict.message}"
    if verdict.answer is Answer.SILENT:
        raise silence(verdict, message, hint="Try again when the token endpoint answers.")
    raise Unproved(message, hint=f"Have a new one made: rotator rotate --now {kit.credential.name}", code=verdict.code)


def _which(kit: Kit, scene: Scene, ours: Fields, key_id: str | None) -> Listed:
    """Return which version at the issuer it is, by what was said, by the document, by what the issuer shows of it."""
    every = {one.key_id: one for one in scene.listing.versions}
    if not (every or key_id or kit.credential.labelled):  # no list: what the document says is all there is
        known = key_in(kit, scene.document.fields) or f"adopted-{scene.document.version}"
        return Listed(known, None, None, None)
    named = key_id or key_in(kit, scene.document.fields)
    fit = [one for one in every.values() if _other(kit, ours, one) is None]
    if named is not None:
        if named not in every:
            raise _cannot_tell(kit, f"there is no {named} at the issuer", list(every))
        if (other := _other(kit, ours, every[named])) is not None:
            raise _cannot_tell(kit, f"{named} {other} than what they read", [one.key_id for one in fit])
        return every[named]
    now = scene.listing.issuer_now or kit.clock.now()
    alive = [one for one in fit if one.expires_at is None or one.expires_at > now]
    if len(alive) == 1:
        return alive[0]
    raise _cannot_tell(kit, f"{len(alive) or 'none'} at the issuer could be it", [one.key_id for one in alive or fit])


def _other(kit: Kit, ours: Fields, listed: Listed) -> str | None:
    """Return in what a version differs from what consumers read; None when it may be that one.

    Graph shows three characters of a secret as `hint` (learn.microsoft.com/graph/api/resources/passwordcredential), and
    a certificate whole. The three prove nothing, but a version that differs is somebody else's, whoever names it:
    adopted, it would be ended one day.
    """
    value, certificate = value_in(kit, ours), certificate_in(ours)
    if listed.hint is not None and value is not None and not value.begins_with(listed.hint):
        return "begins otherwise"
    if listed.certificate is not None and certificate is not None and listed.certificate != certificate:
        return "is another certificate"
    return None


def _with_window(kit: Kit, ours: Fields, listed: Listed, issued_at: datetime | None) -> Listed:
    """Return it with its window as the issuer says it, else the document, else the person.

    Without any it would never be replaced in time. What is made by hand lives as long as its provider says.
    """
    name = kit.credential.name
    made = listed.created_at or moment_in(ours, "issued_at") or issued_at
    ends = listed.expires_at or moment_in(ours, "expires_at")
    if made is None and ends is None:
        raise Refused(
            f"Neither its issuer nor the document says when the version of {name} was made.",
            hint=f"Write it there as {kit.field('issued_at')} (RFC 3339, UTC), or adopt it on a terminal, which asks.",
            code="which_window",
        )
    if made is not None and ends is None and kit.credential.by_hand:
        ends = plus(made, kit.credential.policy.lifetime)
    now, wrong = kit.clock.now(), None
    if listed.created_at is None and made is not None and made > now:
        wrong = f"made at {spell_moment(made)}"
    elif listed.expires_at is None and ends is not None and ends <= now:
        wrong = f"ended at {spell_moment(ends)}"
    if wrong is not None:
        raise Refused(
            f"The version of {name} is said to be {wrong}, and yet it works now.",
            hint="Correct the moment that was given, or the one in the document.",
            code="wrong_window",
        )
    return replace(listed, created_at=made, expires_at=ends)


def _cannot_tell(kit: Kit, why: str, there: list[str]) -> Refused:
    said = f": {', '.join(there)}" if there else ""
    return Refused(
        f"Which version consumers of {kit.credential.name} use cannot be told: {why}{said}.",
        hint=f"Say which: rotator adopt {kit.credential.name} --key-id ID",
        code="which_key",
    )
