"""What is checked of a vendor that is described: the parts of its description, and credentials against it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rotator.app.config.described import (
    GIVEN_BY_US,
    OURS,
    Chooser,
    CreateOperation,
    HttpProvider,
    ListOperation,
    Request,
    SlotOperation,
)
from rotator.app.config.faults import one_of
from rotator.app.config.foreign import Foreign
from rotator.app.config.known import Known
from rotator.app.config.manual import ManualProvider
from rotator.app.config.schema import ProviderPlace
from rotator.app.config.source import Entry, Pending
from rotator.app.config.values import format_duration
from rotator.app.config.verifying import ProofKind, SignatureMode, Verify
from rotator.app.config.yaml import KeyPath
from rotator.model import Procedure, RetireMode
from rotator.plugin import PROVIDERS, STORES
from rotator.wire.filling import unquoted
from rotator.wire.vocabulary import TimeFormat


def descriptions(known: Known) -> Iterator[Pending]:
    """Yield what is wrong between the parts of a vendor's description."""
    for name, provider in known.providers.items():
        if not isinstance(provider, HttpProvider):
            continue
        above: KeyPath = ("providers", name, "operations")
        for path, operation in provider.operations.every():
            yield from _operation(known, (*above, *path), str(path[0]), operation)
        yield from _rules(known, name, provider)
        yield from (_single_slot if provider.procedure.single_slot else _side_by_side)(known, name, provider)


def foreign(known: Known) -> Iterator[Pending]:
    """Yield what plug-ins say is wrong with the settings of their providers and stores."""
    parts = (("providers", PROVIDERS, known.providers), ("stores", STORES, known.stores))
    for key, group, named in parts:
        for name, section in named.items():
            if isinstance(section, Foreign):
                from rotator.app.plugins import faults

                for fault in faults(group, section.kind, section.settings):
                    yield Pending(known.main, (key, name, *fault.path), fault.message, fault.hint)


_SIDE_BY_SIDE: Final = ("create", "list", "retire")
_SINGLE: Final = ("set", "regenerate", "read")


def _side_by_side(known: Known, name: str, provider: HttpProvider) -> Iterator[Pending]:
    """See that versions can be made, found again and removed one by one."""
    above: KeyPath = ("providers", name, "operations")
    said, there = provider.operations, {str(path[0]) for path, _ in provider.operations.every()}
    for lacking in _SIDE_BY_SIDE:
        if lacking not in there:
            hint = "Where versions live side by side, these are needed: create, list, retire."
            yield Pending(known.main, above, f"`{lacking}` is missing", f"{hint} For a single slot say slots.live: 1.")
    for vain in (one for one in _SINGLE if one in there):
        yield Pending(known.main, (*above, vain), "is for a single slot", "Leave it out; or say slots.live: 1.")
    if provider.slots.value is Chooser.CALLER:
        message = "is for a single slot: here the vendor chooses"
        yield Pending(known.main, ("providers", name, "slots", "value"), message, "Leave it out; or say live: 1.")
    if said.create is not None and provider.labelled and "tag" not in said.create.places:
        hint = "Without it nobody could tell after a crash what is ours. Put {tag} where the vendor keeps a name."
        yield Pending(known.main, (*above, "create"), "nowhere sends {tag}", hint)
    elif said.create is not None and provider.labelled and "tag" not in said.create.alone:
        hint = "It is looked for as it is: let it be all of a text, of a header, or of what stands between two slashes."
        yield Pending(known.main, (*above, "create"), "sends {tag} only together with other text", hint)
    if said.list_ is not None and said.list_.tag is None and said.list_.tag_length is not None:
        hint = "Say where in the list our label stands; a vendor that keeps none needs no length."
        yield Pending(known.main, (*above, "list", "tag_length"), "is given without `tag`", hint)
    if said.retire and not any("key_id" in one.places for one in said.retire):
        yield Pending(known.main, (*above, "retire"), "nowhere says {key_id}", "Say which version is to be removed.")


def _single_slot(known: Known, name: str, provider: HttpProvider) -> Iterator[Pending]:
    """See that the only version can be replaced, in one way, and that the answers hold what is needed of them."""
    above: KeyPath = ("providers", name, "operations")
    said, chosen = provider.operations, provider.procedure is Procedure.CHOSEN
    needed, vain = ("set", "regenerate") if chosen else ("regenerate", "set")
    there = {str(path[0]) for path, _ in said.every()}
    if needed not in there:
        who = "we choose the value" if chosen else "the vendor chooses the value"
        hint = f"There is a single slot and {who} (slots.value), so say how: {needed}: {{request: …}}"
        yield Pending(known.main, above, f"`{needed}` is missing", hint)
    for one in (one for one in (vain, "create", "list", "retire") if one in there):
        yield Pending(known.main, (*above, one), "has no use here", f"A single slot is changed by `{needed}` alone.")
    if said.set_ is not None and "value" not in said.set_.places:
        yield Pending(known.main, (*above, "set"), "nowhere sends {value}", "Say where our value goes.")
    for one, operation in (("regenerate", said.regenerate), ("read", said.read)):
        if operation is not None and operation.secret is None:
            yield Pending(known.main, (*above, one), "`secret` is missing", "Say where in the answer the value stands.")


def _operation(known: Known, path: KeyPath, name: str, operation: Request) -> Iterator[Pending]:
    for place in sorted((operation.places & OURS) - GIVEN_BY_US[name]):
        allowed = one_of(sorted(GIVEN_BY_US[name])) or "none"
        hint = f"Places that rotator fills in `{name}`: {allowed}. Others are filled from `with` of a credential."
        yield Pending(known.main, path, f"has the place {{{place}}}, which has no meaning in `{name}`", hint)
    if operation.body is not None and operation.form:
        yield Pending(known.main, (*path, "form"), "is given beside `json`", "A request has one body; leave one out.")
    for bare in (one for one in unquoted(operation.body) if one in OURS):
        message, hint = f"{{{bare}}} without quotes is a mapping in YAML", f'Write "{{{bare}}}".'
        yield Pending(known.main, (*path, "json"), message, hint)
    if not isinstance(operation, CreateOperation | SlotOperation | ListOperation):
        return
    if operation.expires_format is TimeFormat.NONE and operation.expires_at is not None:
        hint = "Leave one of the two out: `none` says that no time in this answer is read."
        yield Pending(known.main, (*path, "expires_at"), "is given, and `expires_format` is none", hint)
    if isinstance(operation, ListOperation) and operation.expires_format is TimeFormat.SECONDS:
        hint = "Seconds count from the answer to a creation; a list says moments: rfc3339 or epoch, or none."
        yield Pending(known.main, (*path, "expires_format"), "seconds mean nothing in a list", hint)


def _rules(known: Known, name: str, provider: HttpProvider) -> Iterator[Pending]:
    for number, rule in enumerate(provider.errors):
        if rule.pointer is None and rule.equals is not None:
            path: KeyPath = ("providers", name, "errors", number, "equals")
            hint = "Say in `pointer` where in the answer it must stand; or leave it out, then the status decides alone."
            yield Pending(known.main, path, "is compared with nothing: `pointer` is missing", hint)


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
    if needs_one and provider.client_id is None and not vendor.names_client:
        made = {Procedure.OVERLAP: "create", Procedure.CHOSEN: "set"}.get(vendor.procedure, "regenerate")
        hint = f"Say it here; or, where the vendor gives a new one, in `client_id` of the operation `{made}`."
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
    ends_it = policy is not None and policy.retire in (RetireMode.AFTER_GRACE, RetireMode.WHEN_UNUSED)
    if entry.says(("policy", "retire")) and ends_it:
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
