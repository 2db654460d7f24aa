"""What one section cannot know alone: names that must resolve, places that must differ, times that must fit.

Pure: it opens, resolves and contacts nothing. `across` yields faults, `warnings` what is probably not meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from rotator.app.config import carried, vendors
from rotator.app.config.described import HttpProvider
from rotator.app.config.faults import did_you_mean, one_of
from rotator.app.config.foreign import ForeignProvider
from rotator.app.config.known import AnyStore, Known
from rotator.app.config.manual import ManualProvider
from rotator.app.config.parts import Section
from rotator.app.config.references import Reference, Scheme
from rotator.app.config.schema import PolicySection, ProviderPlace
from rotator.app.config.source import Entry, Pending
from rotator.app.config.systems import EmbeddedStore, VaultStore
from rotator.app.config.values import NOT_HTTPS, format_duration, is_name, is_of_this_machine, longest_closed
from rotator.app.config.verifying import ProofKind, SignatureMode, Verify
from rotator.app.config.yaml import KeyPath
from rotator.model import RetireMode


def across(known: Known, entries: Iterable[Entry]) -> Iterator[Pending]:
    """Yield every fault that concerns more than one value."""
    entries = list(entries)
    yield from _mounts(known)
    yield from _store_references(known)
    yield from _provider_references(known)
    yield from vendors.descriptions(known)
    yield from vendors.foreign(known)
    yield from _names(entries)
    for entry in entries:
        sound = entry.sound
        yield from _resolved(known, entry)
        if sound.provider is not None:
            yield from _application(known, entry, sound.provider)
        if sound.policy is not None:
            yield from _times(entry, sound.policy)
        if sound.verify is not None:
            yield from _proofs(entry, sound.verify)
            yield from _keys_of_other_proofs(entry, sound.verify)
            yield from _plain_http(entry, sound.verify)
            yield from carried.probe(entry, sound.verify)
            if sound.verify.kind is ProofKind.CLIENT_CREDENTIALS:
                yield from _request(known, entry, sound.verify)
        if sound.store is not None:
            yield from carried.fields(entry, sound.store)
    yield from _shared(known, entries)


def warnings(known: Known, entries: Iterable[Entry]) -> Iterator[str]:
    """Yield one line for each thing that is probably not meant. Without line numbers: they would cost too much."""
    entries = list(entries)
    if not entries:
        yield f"{known.main.path}: no credentials; nothing will ever be rotated"
    for entry in entries:
        if entry.model is None:
            continue
        label, policy, verify = entry.label, entry.model.policy, entry.model.verify
        if policy.window is not None:
            closed = longest_closed(policy.window.window())
            if closed >= policy.rotate_before:
                yield (
                    f"{label}.policy.window: stays shut for up to {format_duration(closed)}, and rotate_before is "
                    f"{format_duration(policy.rotate_before)}; where no opening is left, the window yields"
                )
        if policy.max_age is not None and policy.max_age <= policy.grace:
            yield (
                f"{label}.policy.max_age: {format_duration(policy.max_age)} is over before the grace of "
                f"{format_duration(policy.grace)}; a rotation waits until the old version is retired"
            )
        if verify.kind is ProofKind.CLIENT_CREDENTIALS and not verify.expect.names_something:
            yield (
                f"{label}.verify.expect: names neither audience nor roles, so a token for another API, or without its "
                "grants, would count as a proof"
            )
        if verify.token_url is None and verify.scope and not verify.scope.endswith("/.default"):
            yield f"{label}.verify.scope: Entra grants client credentials only scopes that end in /.default"


def references(section: Section, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Reference]]:
    """Yield the secret references of a section with their paths."""
    for key in type(section).model_fields:
        value = getattr(section, key)
        if isinstance(value, Reference):
            yield (*path, key), value
        elif isinstance(value, Section):
            yield from references(value, (*path, key))


# ------------------------------------------------------------------------------------------- stores and providers


def _mounts(known: Known) -> Iterator[Pending]:
    staging = {
        (store.address, store.namespace, store.staging_mount): name
        for name, store in known.stores.items()
        if isinstance(store, VaultStore)
    }
    for name, store in known.stores.items():
        if not isinstance(store, VaultStore):
            continue
        other = staging.get((store.address, store.namespace, store.mount))
        if other is not None:
            message = "the staging mount of this store" if other == name else f'the staging mount of store "{other}"'
            hint = "Unverified values lie in staging: give it a mount of its own that only rotator may read."
            yield Pending(known.main, ("stores", name, "mount"), f"is also {message}", hint)


def _store_references(known: Known) -> Iterator[Pending]:
    needs: dict[str, set[str]] = {}
    for name, store in known.stores.items():
        needs[name] = {found.store for _, found in references(store) if found.scheme is Scheme.VAULT}
    for name, store in known.stores.items():
        for path, found in references(store, ("stores", name)):
            if found.scheme is not Scheme.VAULT:
                continue
            yield from _unknown_store(known, path, found)
            if name in _reachable(needs, found.store):
                message = f'leads back into store "{name}", which cannot be opened without it'
                yield Pending(known.main, path, message, "Keep it in env:, file: or cred:, or in another store.")


def _reachable(needs: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            ahead.extend(needs.get(name, ()))
    return seen


def _provider_references(known: Known) -> Iterator[Pending]:
    for name, provider in known.providers.items():
        for path, found in references(provider, ("providers", name)):
            if found.scheme is Scheme.VAULT:
                yield from _unknown_store(known, path, found)


def _unknown_store(known: Known, path: KeyPath, found: Reference) -> Iterator[Pending]:
    if found.store not in known.store_names:
        yield Pending(known.main, path, *_no_such("store", found.store, known.store_names))


def _no_such(what: str, name: str, names: frozenset[str]) -> tuple[str, str]:
    guess = did_you_mean(name, names)
    if guess:
        return f'no {what} is called "{name}".{guess}', ""
    hint = f"Known: {one_of(sorted(names)[:10])}." if names else f"There is none yet: add it under {what}s."
    return f'no {what} is called "{name}".', hint


# ------------------------------------------------------------------------------------------------------ credentials


def _names(entries: Iterable[Entry]) -> Iterator[Pending]:
    first: dict[str, Entry] = {}
    for entry in entries:
        name = entry.own.get("name") if isinstance(entry.own, dict) else None
        if not isinstance(name, str):
            continue
        if (other := first.setdefault(name, entry)) is not entry:
            message = f"this name is taken: {other.label} has it"
            yield entry.fault(("name",), message, "A name is for ever that of one credential; choose another.")


def _resolved(known: Known, entry: Entry) -> Iterator[Pending]:
    for section, names in (("provider", known.provider_names), ("store", known.store_names)):
        said = entry.merged.get(section)
        use = said.get("use") if isinstance(said, dict) else None
        if isinstance(use, str) and is_name(use) and use not in names:
            yield entry.fault((section, "use"), *_no_such(section, use, names))


def _application(known: Known, entry: Entry, provider: ProviderPlace) -> Iterator[Pending]:
    kind = known.kinds.get(provider.use)
    yield from _of_another_kind(entry, provider, kind)
    policy = entry.sound.policy
    if (
        kind in ("http", "keycloak", "dynamic_registration")
        and policy is not None
        and policy.retire is RetireMode.WHEN_UNUSED
    ):
        message = "needs an issuer that tells of sign-ins, and only entra does"
        yield entry.fault(("policy", "retire"), message, "Say after_grace, with a grace that is long enough.")
    if kind == "entra":
        yield from _entra_application(entry, provider)
    elif kind == "keycloak":
        if provider.client is None and entry.sound.knows(("provider", "client")):
            yield entry.fault(("provider",), "`client` is missing", "Say the clientId of the client in the realm.")
    elif isinstance(vendor := known.providers.get(provider.use), HttpProvider):
        yield from vendors.application(entry, provider, vendor)
    elif isinstance(vendor, ManualProvider):
        yield from vendors.by_hand(entry, vendor)


def _of_another_kind(entry: Entry, provider: ProviderPlace, kind: str | None) -> Iterator[Pending]:
    """Yield the keys that mean something for other kinds of provider only."""
    if kind is None or kind not in _KEYS_OF_KIND:
        return
    mine = _KEYS_OF_KIND[kind]
    others = {key: of for of, keys in _KEYS_OF_KIND.items() for key in keys if key not in mine}
    hint = f"{provider.use} is of kind {kind}; allowed here: use, {', '.join(_KEYS_OF_KIND[kind])}."
    for key, of in others.items():
        if entry.says(("provider", key)):
            yield entry.fault(("provider", key), f"`{key}` belongs to providers of kind {of}", hint, at_key=True)


_KEYS_OF_KIND: Final[Mapping[str, tuple[str, ...]]] = {
    "entra": ("app_id", "object_id", "credential"),
    "http": ("client_id", "with"),
    "manual": ("client_id",),
    "keycloak": ("client",),
    "dynamic_registration": ("metadata",),
}
KINDS: Final = frozenset(_KEYS_OF_KIND)
"""The kinds of provider that this release knows."""


def _entra_application(entry: Entry, provider: ProviderPlace) -> Iterator[Pending]:
    if not entry.sound.knows(("provider", "app_id"), ("provider", "object_id")):
        return
    if provider.app_id is None and provider.object_id is None:
        yield entry.fault(("provider",), "`app_id` or `object_id` is missing", "Say which application it is.")
    if provider.app_id is not None and provider.object_id is not None:
        hint = "Keep one: two names could one day mean two applications."
        yield entry.fault(("provider", "object_id"), "`app_id` already says which application it is", hint)


def _shared(known: Known, entries: Iterable[Entry]) -> Iterator[Pending]:
    """Compare what names stand for, not names: two stores may be one mount, two providers one tenant."""
    paths: dict[tuple[object, ...], Entry] = {}
    applications: dict[tuple[object, ...], Entry] = {}
    for entry in entries:
        if (store := entry.sound.store) is not None:
            place = (*_place(known.stores.get(store.use), store.use), store.path)
            if (other := paths.setdefault(place, entry)) is not entry:
                hint = "Two credentials would overwrite each other; give each a path of its own."
                yield entry.fault(("store", "path"), f"{other.label} writes there already", hint)
        provider = entry.sound.provider
        if provider is None or not entry.sound.knows(("provider",)):
            continue
        if provider.application or known.kinds.get(provider.use) == "http":
            issuer = known.providers.get(provider.use)
            application = (provider.use if issuer is None else issuer.issuer, provider.application, provider.credential)
            if (other := applications.setdefault(application, entry)) is not entry:
                hint = "Two credentials would retire each other's secrets; an application is rotated by one."
                said = [key for key in ("app_id", "object_id") if getattr(provider, key) is not None]
                yield entry.fault(("provider", *said), f"{other.label} rotates this application already", hint)


def _place(store: AnyStore | None, name: str) -> tuple[object, ...]:
    if isinstance(store, VaultStore):
        return (store.address, store.namespace, store.mount)
    return (store.path,) if isinstance(store, EmbeddedStore) else (name,)


def _times(entry: Entry, policy: PolicySection) -> Iterator[Pending]:
    hint = "A fresh secret would be due at once."
    yield from _shorter(entry, "rotate_before", policy.rotate_before, "lifetime", policy.lifetime, hint)
    hint = "The old secret would expire before its grace ends."
    yield from _shorter(entry, "grace", policy.grace, "rotate_before", policy.rotate_before, hint)
    path, waits = ("policy", "prepare"), policy.lifetime - policy.rotate_before
    if policy.prepare is not None and policy.prepare >= waits and entry.sound.knows(path):
        message = (
            f"{format_duration(policy.prepare)} is not less than the {format_duration(waits)} between two rotations"
        )
        yield entry.fault(path, message, "The next version would be made before the last one is shown. Use less.")


def _shorter(
    entry: Entry, short: str, short_is: timedelta, long: str, long_is: timedelta, why: str
) -> Iterator[Pending]:
    """Two times of the policy that must differ; the fault stands where it was said last, else at the shorter one."""
    small, large = ("policy", short), ("policy", long)
    if short_is < long_is or not entry.sound.knows(small, large):
        return
    here, there = format_duration(short_is), format_duration(long_is)
    if _nearest(entry, small, large) == small:
        how = "longer than" if short_is > long_is else "as long as"
        message = f"{here} is {how} {long} ({there}{_origin(entry, large)})."
        yield entry.fault(small, message, f"{why} Use less than {there} here, or a larger {long}.")
    else:
        how = "shorter than" if short_is > long_is else "as short as"
        message = f"{there} is {how} {short} ({here}{_origin(entry, small)})."
        yield entry.fault(large, message, f"{why} Use more than {here} here, or a smaller {short}.")


def _nearest(entry: Entry, *paths: KeyPath) -> KeyPath:
    """Return the path where a person would mend it: what the credential says, else what the defaults say."""
    for said in (entry.says, entry.inherits):
        for path in paths:
            if said(path):
                return path
    return paths[0]


def _origin(entry: Entry, path: KeyPath) -> str:
    return "" if entry.says(path) or entry.inherits(path) else ", the default"


def _proofs(entry: Entry, verify: Verify) -> Iterator[Pending]:
    least = (verify.proofs - 1) * verify.spacing
    paths: tuple[KeyPath, ...] = (("verify", "deadline"), ("verify", "spacing"), ("verify", "proofs"))
    if least < verify.deadline or not entry.sound.knows(*paths):
        return
    path = _nearest(entry, *paths)
    message = (
        f"{verify.proofs} proofs, {format_duration(verify.spacing)} apart, take at least {format_duration(least)}; "
        f"the deadline is {format_duration(verify.deadline)}."
    )
    yield entry.fault(path, message, "No version could ever be proved. Use fewer proofs, less spacing, or more time.")


_OF_TOKENS: Final = ("token_url", "client_auth", "client_id", "scope", "params")
_OF_PROBES: Final = ("request", "credential_in")


def _keys_of_other_proofs(entry: Entry, verify: Verify) -> Iterator[Pending]:
    """Yield the keys that mean something for the other kind of proof only, and what a probe lacks."""
    probing = verify.kind is ProofKind.HTTP_PROBE
    paths: list[KeyPath] = [("verify", key) for key in (_OF_TOKENS if probing else _OF_PROBES)]
    if probing:
        paths += [("verify", "expect", key) for key in type(verify.expect).model_fields if key != "status"]
    else:
        paths.append(("verify", "expect", "status"))
    for path in paths:
        if entry.says(path):
            hint = f"This proof is of kind {verify.kind.value}; leave the key out, or say another `verify.kind`."
            yield entry.fault(path, f"`{path[-1]}` has no meaning for this kind of proof", hint, at_key=True)
    for key in _OF_PROBES if probing else ():
        if getattr(verify, key) is None and entry.sound.knows(("verify", key)):
            hint = 'Such as request: "GET https://api.example.com/v1/me", credential_in: {header: X-Api-Key}.'
            yield entry.fault(("verify",), f"`{key}` is missing", hint)


def _request(known: Known, entry: Entry, verify: Verify) -> Iterator[Pending]:
    yield from carried.client_auth(entry, verify)
    provider = entry.sound.provider
    said_nothing = verify.token_url is None and verify.scope is None
    sure = entry.sound.knows(("verify", "token_url"), ("verify", "scope"))
    kind = known.kinds.get(provider.use) if provider is not None else None
    if said_nothing and sure and kind == "entra":
        message = "`scope` is missing: Entra gives no token without one"
        yield entry.fault(("verify",), message, "Name the API, such as api://example/.default.")
    plugged = provider is not None and isinstance(known.providers.get(provider.use), ForeignProvider)
    if plugged or kind in ("http", "manual", "dynamic_registration"):
        yield from vendors.proof(entry, verify)
    expect = ("verify", "expect")
    said_so = entry.sound.knows(expect) and (entry.says(expect) or entry.inherits(expect))
    if said_so and not entry.merged["verify"]["expect"]:
        message = "names nothing that a token must be; an empty list of checks proves nothing"
        yield entry.fault(expect, message, "Say at least `aud`, or leave the key out.")


def _plain_http(entry: Entry, verify: Verify) -> Iterator[Pending]:
    urls: dict[KeyPath, str | None] = {("verify", "token_url"): verify.token_url}
    if verify.request is not None:
        urls["verify", "request"] = verify.request.path
    signature = verify.expect.signature
    if signature is not None and signature.mode is SignatureMode.JWKS_URL:
        urls["verify", "expect", "signature", "jwks_url"] = signature.url
    for path, url in urls.items():
        if url is None or urlsplit(url).scheme != "http":
            continue
        allowed = verify.unsafe_plain_http or not entry.sound.knows(("verify", "unsafe_plain_http"))
        if not (allowed or is_of_this_machine(url)):
            hint = "Use https. verify.unsafe_plain_http: true allows it, and whoever is on the way reads the secret."
            yield entry.fault(path, NOT_HTTPS, hint)
        if verify.proxy is not None:
            hint = "The proxy would read the secret; remove the proxy, or use https."
            yield entry.fault(("verify", "proxy"), f"is not for plain http, and {'.'.join(map(str, path))} is", hint)
