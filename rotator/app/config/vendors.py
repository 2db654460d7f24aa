"""What is checked of a vendor that is described: the parts of its description, and credentials against it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rotator.app.config.described import GIVEN_BY_US, OURS, HttpProvider, Request
from rotator.app.config.faults import one_of
from rotator.app.config.known import Known
from rotator.app.config.manual import ManualProvider
from rotator.app.config.schema import ProviderPlace
from rotator.app.config.source import Entry, Pending
from rotator.app.config.values import format_duration
from rotator.app.config.verifying import ProofKind, SignatureMode, Verify
from rotator.app.config.yaml import KeyPath
from rotator.model import RetireMode


def descriptions(known: Known) -> Iterator[Pending]:
    """Yield what is wrong between the parts of a vendor's description."""
    for name, provider in known.providers.items():
        if not isinstance(provider, HttpProvider):
            continue
        above: KeyPath = ("providers", name, "operations")
        said = provider.operations
        several = [(("retire", number), one) for number, one in enumerate(said.retire)]
        operations: list[tuple[KeyPath, Request]] = [(("create",), said.create), (("list",), said.list_), *several]
        for path, operation in operations:
            yield from _operation(known, (*above, *path), str(path[0]), operation)
        if "tag" not in said.create.places:
            hint = "Without it nobody could tell after a crash what is ours. Put {tag} where the vendor keeps a name."
            yield Pending(known.main, (*above, "create"), "nowhere sends {tag}", hint)
        if not any("key_id" in one.places for one in said.retire):
            hint = "Say which version is to be removed."
            yield Pending(known.main, (*above, "retire"), "nowhere says {key_id}", hint)


def _operation(known: Known, path: KeyPath, name: str, operation: Request) -> Iterator[Pending]:
    for place in sorted((operation.places & OURS) - GIVEN_BY_US[name]):
        allowed = one_of(sorted(GIVEN_BY_US[name])) or "none"
        hint = f"Places that rotator fills in `{name}`: {allowed}. Others are filled from `with` of a credential."
        yield Pending(known.main, path, f"has the place {{{place}}}, which has no meaning in `{name}`", hint)
    if operation.body is not None and operation.form:
        yield Pending(known.main, (*path, "form"), "is given beside `json`", "A request has one body; leave one out.")


def application(entry: Entry, provider: ProviderPlace, vendor: HttpProvider) -> Iterator[Pending]:
    """See that every place of the vendor's operations is filled, and that nothing is given in vain."""
    if not entry.sound.knows(("provider", "with"), ("provider", "client_id")):
        return
    wanted, given = vendor.wanted, frozenset(provider.given)
    for name in sorted(wanted - given):
        hint = f"The operations of {provider.use} have the place {{{name}}}."
        yield entry.fault(("provider",), f"`with` lacks `{name}`", hint)
    for name in sorted(given - wanted):
        why = "is filled by rotator itself" if name in OURS else f"no operation of {provider.use} has such a place"
        yield entry.fault(("provider", "with", name), why, f"Places to fill: {one_of(sorted(wanted)) or 'none'}.")
    verify = entry.sound.verify
    needs_one = verify is None or verify.kind is ProofKind.CLIENT_CREDENTIALS
    if needs_one and provider.client_id is None and vendor.operations.create.client_id is None:
        hint = "Say it here; or, where the vendor gives a new one, in `client_id` of the operation `create`."
        yield entry.fault(("provider",), "`client_id` is missing", hint)


def by_hand(entry: Entry, provider: ManualProvider) -> Iterator[Pending]:
    """See that the policy asks nothing that only an API could do, and fits how long such a version lives."""
    policy, path = entry.sound.policy, ("policy", "rotate_before")
    if entry.says(("policy", "lifetime")):
        hint = "How long such a version lives is `lifetime` of the provider, or what is said at the intake."
        yield entry.fault(("policy", "lifetime"), "nothing is asked of an issuer here", hint)
    if (
        policy is not None
        and entry.sound.knows(path)
        and entry.says(path)
        and policy.rotate_before >= provider.lifetime
    ):
        message = f"{format_duration(policy.rotate_before)} is not less than the {format_duration(provider.lifetime)} "
        hint = "A fresh one would be due at once. Use less, or leave it out: then it is the first of `remind_before`."
        yield entry.fault(path, message + "that such a version lives.", hint)
    if entry.says(("policy", "retire")) and policy is not None and policy.retire is RetireMode.AFTER_GRACE:
        hint = "Say let_expire; or manual, for a person who removes it and says so with `rotator retire`."
        yield entry.fault(("policy", "retire"), "what a person made cannot be removed by rotator", hint)


def proof(entry: Entry, verify: Verify) -> Iterator[Pending]:
    """See that what follows from the tenant for Entra is said for a vendor: endpoint, and how tokens are checked."""
    if verify.token_url is None and entry.sound.knows(("verify", "token_url")):
        yield entry.fault(("verify",), "`token_url` is missing", "Say where consumers get their tokens.")
    path = ("verify", "expect", "signature")
    if not entry.sound.knows(path):
        return
    signature = verify.expect.signature
    if signature is not None and signature.mode is SignatureMode.JWKS:
        message = "no metadata are known for this provider, so its keys are not either"
        yield entry.fault(path, message, "Say {jwks_url: https://…}; or unverified, for opaque and HMAC tokens.")
    if signature is None and verify.expect.names_a_claim:
        message = "`signature` is missing: a claim that nobody signed proves nothing by itself"
        hint = "Say {jwks_url: https://…}; or unverified, for opaque and HMAC tokens."
        yield entry.fault(("verify", "expect"), message, hint)
