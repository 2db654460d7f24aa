"""Takes what consumers read today under management. It makes nothing at an issuer, and removes nothing there.

An adoption is a rotation whose new version is the one that is there already: it is staged, proved and written into the
document with our fields beside it, by the same steps and with the same recovery. What is abandoned is left as it was.
"""

from __future__ import annotations

from rotator.candidate import candidate_of
from rotator.document import client_in, key_in, moment_in, ours_in, provable, value_in
from rotator.errors import Refused, Unproved
from rotator.event import EventName
from rotator.kit import Kit
from rotator.lifecycle import begin, live
from rotator.model import Origin, Phase, Reason, Rotation
from rotator.planner import current_version
from rotator.ports import Answer, Issued, Listed, Tracked
from rotator.proving import control, prove_current, silence
from rotator.secret import Fields
from rotator.survey import Scene, read


def adopt(kit: Kit, tracked: Tracked, key_id: str | None) -> Rotation:
    """Make the version that consumers read one of ours. key_id: which one it is at the issuer; None: find out.

    tracked: what the ledger knows, with nothing unfinished. Raises Refused when there is nothing to adopt, when it is
    ours already or does not get a token, and when nobody can tell which one it is (code `which_key`). Stopped anywhere:
    the next run goes on, or leaves everything as it was.
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
    listed = _which(kit, scene, ours, key_id)
    run = begin(kit, scene, Reason.ADOPTED)
    version = candidate_of(run, listed, origin=Origin.ADOPTED)
    event = run.event(EventName.CREDENTIAL_ADOPTED, key_id=version.key_id)
    taken = run.put(phase=Phase.CREATING, attempt=1, key_id=version.key_id, tag=listed.tag)
    kit.ledger.record(event, version, taken)
    values = {name: value for name in kit.credential.carries if (value := ours.secret(name)) is not None}
    run.issued = Issued(listed, client_in(kit, ours), Fields(values), scene.listing.issuer_now)
    live(run)
    if run.rotation.phase is Phase.ABANDONED and run.trouble is not None:
        raise run.trouble
    return run.rotation


def _see_it_works(kit: Kit, ours: Fields) -> None:
    verdict = prove_current(kit, client_in(kit, ours), ours)
    if verdict.answer is Answer.PROVED:
        return
    message = f"The version in use of {kit.credential.name} does not pass, so it is not adopted: {verdict.message}"
    if verdict.answer is Answer.SILENT:
        raise silence(verdict, message, hint="Try again when the token endpoint answers.")
    raise Unproved(message, hint=f"Have a new one made: rotator rotate --now {kit.credential.name}", code=verdict.code)


def _which(kit: Kit, scene: Scene, ours: Fields, key_id: str | None) -> Listed:
    """Return which version at the issuer it is, by what was said, by the document, by its first characters.

    Graph shows three of them as `hint` (learn.microsoft.com/graph/api/resources/passwordcredential).
    They prove nothing, but a version that begins otherwise is somebody else's, whoever names it: adopted, it would be
    ended one day.
    """
    every = {one.key_id: one for one in scene.listing.versions}
    if not every and key_id is None:  # the issuer has no list: what the document says is all there is
        known = key_in(kit, scene.document.fields) or f"adopted-{scene.document.version}"
        return Listed(known, None, moment_in(ours, "issued_at"), moment_in(ours, "expires_at"))
    named = key_id or key_in(kit, scene.document.fields)
    secret = value_in(kit, ours)
    if named is not None:
        if named not in every:
            raise _cannot_tell(kit, f"there is no {named} at the issuer", list(every))
        hint = every[named].hint
        if hint is not None and secret is not None and not secret.begins_with(hint):
            others = [one.key_id for one in every.values() if one.hint is None or secret.begins_with(one.hint)]
            raise _cannot_tell(kit, f"{named} begins otherwise than what they read", others)
        return every[named]
    assert secret is not None
    fit = [one for one in every.values() if one.hint is None or secret.begins_with(one.hint)]
    now = scene.listing.issuer_now or kit.clock.now()
    alive = [one for one in fit if one.expires_at is None or one.expires_at > now]
    if len(alive) == 1:
        return alive[0]
    raise _cannot_tell(kit, f"{len(alive) or 'none'} at the issuer could be it", [one.key_id for one in alive or fit])


def _cannot_tell(kit: Kit, why: str, there: list[str]) -> Refused:
    said = f": {', '.join(there)}" if there else ""
    return Refused(
        f"Which version consumers of {kit.credential.name} use cannot be told: {why}{said}.",
        hint=f"Say which: rotator adopt {kit.credential.name} --key-id ID",
        code="which_key",
    )
