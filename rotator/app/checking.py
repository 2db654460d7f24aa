"""`rotator check`: would it work tonight? Looks at everything that a rotation would touch, and changes nothing.

Every subject is looked at apart from the others and several at once, so that one that hangs or is wrong hides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from rotator.app import checkpoints, items
from rotator.app.config.checks import references
from rotator.app.config.systems import VaultStore
from rotator.app.databases import examine
from rotator.app.house import House, Use
from rotator.app.needs import Owner, keys_to_be_made, owners, secrets_of
from rotator.app.results import Item, status_of_findings
from rotator.app.standing import SECRET_IS_GOOD, STANDING, braked, known, staged, standing, vanished
from rotator.errors import Misconfigured, RotatorError
from rotator.finding import Finding, Severity
from rotator.kit import Interrupted
from rotator.label import prefix
from rotator.model import Credential
from rotator.ports import Answer, Tracked, Verdict
from rotator.secret import Fields

CONFIGURATION, STATE, SECRET = "configuration", "state", "secret"
CURRENT = "current version"
_AT_ONCE = 8
_STATUS = {"unreachable": 69, "throttled": 75}

Look = Callable[[], Sequence[Finding]]


@dataclass(frozen=True, slots=True)
class Checked:
    """items: kind `CheckList`, one for each of `findings`, in the same order."""

    items: tuple[Item, ...]
    findings: tuple[Finding, ...]
    exit_status: int


def check(house: House, *, offline: bool = False) -> Checked:
    """Look at configuration, secrets, state, stores, providers, token endpoints and current versions.

    offline: only at what is on this machine. Raises nothing for what is wrong: that is a finding.
    """
    findings = [*_configuration(house)]
    secrets, lacking = _secrets(house)
    findings += secrets
    findings += _seen(lambda: _state(house), STATE, STATE)
    tracked = known(house)
    if tracked:
        findings += _seen(lambda: braked(house), STATE, "brake")
    findings += [
        one for credential in house.config.models for one in standing(credential, tracked.get(credential.name))
    ]
    if offline:
        message = "stores, providers and token endpoints were not contacted"
        findings += [*_ca_files(house), Finding("network", "offline", Severity.SKIP, message)]
    else:
        findings += _everything_else(house, lacking, tracked)
    findings = list(dict.fromkeys(findings))  # what concerns a whole provider is found once for each credential
    return Checked(tuple(items.check(finding) for finding in findings), tuple(findings), status_of_findings(findings))


def _seen(look: Look, subject: str, check: str) -> Sequence[Finding]:
    """Return what a look finds; that it could not be made is a finding too."""
    try:
        return look()
    except RotatorError as error:
        return [Finding(subject, check, Severity.FAIL, error.message, error.hint, error.exit_status)]
    except Interrupted:
        return [Finding(subject, check, Severity.SKIP, "stopped on request; not looked at to the end")]


# -------------------------------------------------------------------------------------------------- on this machine


def _configuration(house: House) -> Iterator[Finding]:
    config = house.config
    counts = ((config.credentials, "credential"), (config.providers, "provider"), (config.stores, "store"))
    said = ", ".join(f"{len(some)} {word}{'s' if len(some) != 1 else ''}" for some, word in counts)
    mode = "; mode: observe, nothing is changed anywhere" if house.observing else ""
    yield Finding(CONFIGURATION, "file", Severity.OK, f"{said}{mode}")
    for warning in house.loaded.warnings:
        yield Finding(CONFIGURATION, "warning", Severity.WARN, warning)


def _secrets(house: House) -> tuple[list[Finding], frozenset[Owner]]:
    """Return the findings, and which stores and providers lack one: to contact them would only repeat it."""
    findings: list[Finding] = []
    lacking = set()
    for owner, reference in secrets_of(house.config, owners(house.config.models)):
        finding = house.resolver.check(reference, owner.name)
        findings.append(finding)
        if finding.outcome is Severity.FAIL:
            lacking.add(owner)
    for credential, receiver in house.config.receivers:
        for _, reference in references(receiver):
            subject = credential or "notifications"
            findings.append(house.resolver.check(reference, subject))
    for name, key in keys_to_be_made(house.config):
        findings.append(Finding(name, SECRET, Severity.OK, f"{key} will be made by the first rotation"))
    findings.extend(checkpoints.look_at_key(house))
    return findings, frozenset(lacking)


def _ca_files(house: House) -> Iterator[Finding]:
    """Yield those that cannot be used. With the network at hand, whoever trusts them says so himself."""
    config = house.config
    named = [(name, one.ca_file) for name, one in config.stores.items() if isinstance(one, VaultStore)]
    named += [(name, one.ca_file) for name, one in config.providers.items()]
    named += [(one.name, one.verify.ca_file) for one in config.credentials]
    for subject, path in named:
        try:
            holds_one = path is None or b"-----BEGIN CERTIFICATE-----" in path.read_bytes()
        except OSError as error:
            why = (error.strerror or "unknown error").lower()
            message, hint = f"the CA file {path} cannot be read: {why}", "Correct ca_file, or its permissions."
            yield Finding(subject, "ca_file", Severity.FAIL, message, hint, Misconfigured.exit_status)
            continue
        if not holds_one:
            message, hint = f"the CA file {path} holds no certificate in PEM", "Name the file of the CA as ca_file."
            yield Finding(subject, "ca_file", Severity.FAIL, message, hint, Misconfigured.exit_status)


def _state(house: House) -> Sequence[Finding]:
    return examine(house)


# ------------------------------------------------------------------------------------------------------- elsewhere


def _everything_else(house: House, lacking: frozenset[Owner], tracked: Mapping[str, Tracked]) -> list[Finding]:
    """Look at all that is elsewhere, several at once; the findings come in a fixed order.

    lacking: what cannot be contacted for want of a secret, which was told already. tracked: what the state knows.
    """
    of_store: dict[str, list[Credential]] = {}
    for credential in house.config.models:
        of_store.setdefault(credential.store, []).append(credential)
    with ThreadPoolExecutor(_AT_ONCE, "rotator-check") as pool:
        stores = {
            name: _Pending(pool, _store(house, name, credentials), name, "store")
            for name, credentials in of_store.items()
            if Owner("stores", name) not in lacking
        }
        others: list[_Pending] = []
        for credential in house.config.models:
            name = credential.name
            if Owner("providers", credential.provider) not in lacking:
                others.append(_Pending(pool, _provider(house, credential), name, "provider"))
            others.append(_Pending(pool, _endpoint(house, credential), name, "token endpoint"))
            if credential.store in stores:
                store = stores[credential.store]
                others.append(_Pending(pool, _unless(store, _staged(house, credential)), name, STANDING))
                others.append(_Pending(pool, _current(house, credential, store, tracked.get(name)), name, CURRENT))
        return [finding for pending in (*stores.values(), *others) for finding in pending.findings()]


class _Pending:
    """One look under way. What was submitted earlier never waits for what was submitted later."""

    def __init__(self, pool: ThreadPoolExecutor, look: Look, subject: str, check: str) -> None:
        self._subject, self._check = subject, check
        self._future: Future[Sequence[Finding]] = pool.submit(_seen, look, subject, check)

    def findings(self) -> Sequence[Finding]:
        """Wait, and return what was found. That we ourselves failed is a finding as well, and hides no other."""
        error = self._future.exception()
        if error is None:
            return self._future.result()
        message = f"rotator itself failed here ({type(error).__name__})"
        return [
            Finding(self._subject, self._check, Severity.FAIL, message, "Report it; everything else was looked at.")
        ]

    @property
    def failed(self) -> bool:
        """Say whether anything fails here."""
        return any(finding.outcome is Severity.FAIL for finding in self.findings())


def _store(house: House, name: str, credentials: Sequence[Credential]) -> Look:
    return lambda: house.store(name, Use.LOOK).check([credential.path for credential in credentials])


def _provider(house: House, credential: Credential) -> Look:
    def look() -> Sequence[Finding]:
        provider = house.provider(credential.provider)
        name, lifetime = credential.name, credential.policy.lifetime
        return provider.check(credential.application, lifetime, name, _our_tag(house, credential))

    return look


def _our_tag(house: House, credential: Credential) -> str:
    """Return how the tags of our versions begin; empty where nothing is ours yet, or that cannot be known now."""
    try:
        install = house.install(credential.store, Use.LOOK)
    except RotatorError:  # the look at the store tells why
        return ""
    return prefix(install, credential) if install else ""


def _staged(house: House, credential: Credential) -> Look:
    return lambda: staged(house, credential)


def _unless(store: _Pending, look: Look) -> Look:
    """Return a look that finds nothing where the store fails: that was told."""

    def unless() -> Sequence[Finding]:
        try:
            return look()
        except RotatorError:
            if not store.failed:
                raise
            return ()

    return unless


def _endpoint(house: House, credential: Credential) -> Look:
    return lambda: house.prover(credential).check(credential.name)


def _current(house: House, credential: Credential, store: _Pending, tracked: Tracked | None) -> Look:
    def look() -> Sequence[Finding]:
        try:
            snapshot = house.store(credential.store, Use.LOOK).consumers.read(credential.path)
        except RotatorError:
            if not store.failed:
                raise
            message = f"not looked at, since {credential.store} fails"
            return [Finding(credential.name, CURRENT, Severity.SKIP, message)]
        return [_judged(house, credential, snapshot.fields, tracked)]

    return look


def _judged(house: House, credential: Credential, fields: Fields | None, tracked: Tracked | None) -> Finding:
    """Prove the version that consumers read, once; that needs no state."""
    place = house.place(credential)
    if fields is None:
        not_yet = Finding(credential.name, CURRENT, Severity.SKIP, f"{place} does not exist yet; a rotation writes it")
        return vanished(credential, place, tracked) or not_yet
    found = {name: fields.secret(credential.fields.get(name, name)) for name in credential.carries}
    values = Fields({name: value for name, value in found.items() if value is not None})
    if len(values) < len(found):
        missing = next(credential.fields.get(name, name) for name in found if name not in values)
        message = f"{place} has no field {missing}, so there is nothing to prove"
        hint = "A rotation adds it; if it goes by another name there, say so in store.fields."
        return Finding(credential.name, CURRENT, Severity.WARN, message, hint)
    client_id = fields.text(credential.fields.get("client_id", "client_id")) or credential.client_id
    return _finding(credential, place, house.prover(credential).prove(client_id, values, house.clock.now()))


def _finding(credential: Credential, place: str, verdict: Verdict) -> Finding:
    name = credential.name
    match verdict.answer:
        case Answer.PROVED:
            return Finding(name, CURRENT, Severity.OK, f"the {credential.noun} in {place} gets a token as expected")
        case Answer.UNFIT:
            return Finding(name, CURRENT, Severity.FAIL, verdict.message, SECRET_IS_GOOD)
        case Answer.REFUSED:
            hint = f"If consumers use this document they fail now. Replace it: rotator rotate --now {name}"
            message = f"the {credential.noun} in {place} is refused: {verdict.message}"
            return Finding(name, CURRENT, Severity.FAIL, message, hint)
        case Answer.SILENT:
            hint = "This says nothing about the secret; look again in a while."
            return Finding(name, CURRENT, Severity.FAIL, verdict.message, hint, _STATUS.get(verdict.code, 69))
