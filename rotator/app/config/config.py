"""A configuration that passed every check: typed, frozen, with secrets as references; it fetches none of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from rotator import model
from rotator.app.config.checks import references
from rotator.app.config.described import HttpProvider
from rotator.app.config.known import AnyStore
from rotator.app.config.manual import ManualProvider
from rotator.app.config.parts import Section
from rotator.app.config.references import Reference, Scheme
from rotator.app.config.schema import CARRIES, Audit, Credential, PolicySection, Service
from rotator.app.config.systems import AnyProvider, State
from rotator.app.config.telling import Receiver
from rotator.app.config.verifying import ClientAuth, Expect, ProofKind, Signature, SignatureMode, Verify
from rotator.model import RetireMode


@dataclass(frozen=True, slots=True)
class Probe:
    """The request that proves a key. scheme: what stands before the key in the header; expect: statuses."""

    method: str
    url: str
    header: str
    scheme: str
    expect: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Verification:
    """The token request of one credential, with what the provider adds to `verify`. probe: what is asked instead.

    keys_url: the metadata for `jwks`, the key set for `jwks_url`, None for `unverified`. client_id: to ask as, where it
    is not the document's. tenant: whose tokens these must be. ca_file, proxy: for endpoint, metadata and keys.
    """

    token_url: str
    client_auth: ClientAuth
    scope: str | None
    params: Mapping[str, str]
    expect: Expect
    signature: SignatureMode
    keys_url: str | None
    client_id: str | None
    tenant: str
    ca_file: Path | None
    proxy: str | None
    unsafe_plain_http: bool
    probe: Probe | None = None


_BY_NAME: Final = frozenset({"manual", "dynamic_registration"})
"""Kinds at which an application is not there before the credential is: it goes by the same name."""


@dataclass(frozen=True)
class Config:
    """Everything a run needs to know. path: the main file, as it was named. `named`: the credentials by name."""

    path: Path
    state: State
    stores: Mapping[str, AnyStore]
    providers: Mapping[str, AnyProvider]
    credentials: tuple[Credential, ...]
    service: Service
    audit: Audit
    notifications: tuple[Receiver, ...] = ()

    @cached_property
    def receivers(self) -> tuple[tuple[str | None, Receiver], ...]:
        """Return who is told of events, each with the credential whose hook it is; None: he hears of all."""
        hooks = ((one.name, hook) for one in self.credentials for hook in one.hooks)
        return (*((None, one) for one in self.notifications), *hooks)

    @cached_property
    def named(self) -> Mapping[str, Credential]:
        """Return the credentials by name, in the order of the files."""
        return {credential.name: credential for credential in self.credentials}

    @cached_property
    def models(self) -> tuple[model.Credential, ...]:
        """Return the credentials as the core knows them, in the order of the files."""
        return tuple(self.to_model(credential) for credential in self.credentials)

    def to_model(self, credential: Credential) -> model.Credential:
        """Return one credential as the core knows it."""
        provider = self.providers[credential.provider.use]
        verify = credential.verify
        hand = provider if isinstance(provider, ManualProvider) else None
        return model.Credential(
            name=credential.name,
            provider=credential.provider.use,
            kind=provider.kind,
            issuer=provider.issuer,
            application=credential.provider.application if provider.kind not in _BY_NAME else credential.name,
            store=credential.store.use,
            path=credential.store.path,
            policy=made_by_hand(credential.policy, hand) if hand else policy(credential.policy),
            by_hand=hand.asks(credential.name) if hand else "",
            procedure=provider.procedure,
            labelled=provider.labelled,
            longest_label=provider.longest_label if isinstance(provider, HttpProvider) else None,
            carries=CARRIES[credential.provider.credential],
            proof=model.ProofPlan(
                proofs=verify.proofs,
                spacing=verify.spacing,
                deadline=verify.deadline,
                every=verify.every,
                max_refused=verify.max_refused,
                negative_control=verify.negative_control,
                names_client=verify.kind is ProofKind.CLIENT_CREDENTIALS,
            ),
            token_url=verify.token_url or provider.token_url or "",
            scope=verify.scope or "",
            client_id=credential.provider.app_id or credential.provider.client or credential.provider.client_id or "",
            description=credential.description,
            owner=credential.owner,
            labels=credential.labels,
            fields=credential.store.fields,
        )

    def registrations(self, provider: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the metadata that each credential registers at a provider, by its name."""
        mine = [one for one in self.credentials if one.provider.use == provider]
        return {
            one.name: {"token_endpoint_auth_method": one.verify.client_auth.value, **one.provider.metadata}
            for one in mine
        }

    def verification(self, credential: Credential) -> Verification:
        """Return how versions of this credential are proved."""
        provider = self.providers[credential.provider.use]
        verify, secret = credential.verify, credential.provider.credential == "secret"
        # A bare `jwks` means the issuer's own metadata, and so does silence where it has any.
        silence = SignatureMode.UNVERIFIED if provider.metadata_url is None else SignatureMode.JWKS
        signature = verify.expect.signature or Signature(silence)
        keys_url = provider.metadata_url if signature.mode is SignatureMode.JWKS else signature.url
        token_url = verify.token_url or provider.token_url or ""
        plain_http = any(url is not None and url.startswith("http:") for url in (token_url, keys_url))
        return Verification(
            token_url=token_url,
            client_auth=verify.client_auth if secret else ClientAuth.PRIVATE_KEY_JWT,
            scope=verify.scope,
            params=verify.params,
            expect=verify.expect,
            signature=signature.mode,
            keys_url=keys_url,
            client_id=verify.client_id,
            tenant=provider.tenant,
            ca_file=verify.ca_file or provider.ca_file,
            proxy=None if plain_http else verify.proxy or provider.proxy,
            unsafe_plain_http=verify.unsafe_plain_http,
            probe=_probe(verify),
        )

    def references(self) -> Iterator[tuple[str, Reference]]:
        """Yield every secret reference with its path, such as `stores.vault.auth.secret_id`."""
        for key, sections in (("stores", self.stores), ("providers", self.providers)):
            section: Section
            for name, section in sections.items():
                for path, found in references(section, (key, name)):
                    yield ".".join(map(str, path)), found
        for credential, receiver in self.receivers:
            owner = f"hooks of {credential}" if credential else "notifications"
            for _, found in references(receiver):
                yield owner, found

    @property
    def systemd_credentials(self) -> tuple[str, ...]:
        """Return the names of all `cred:` references, for the command line that would provide them."""
        return tuple(dict.fromkeys(found.name for _, found in self.references() if found.scheme is Scheme.CRED))


def made_by_hand(section: PolicySection, provider: ManualProvider) -> model.Policy:
    """Return the policy of what a person makes: its end is the provider's, and nobody but him removes it."""
    said = policy(section)
    return replace(
        said,
        lifetime=provider.lifetime,
        rotate_before=said.rotate_before if said.rotate_before < provider.lifetime else provider.first_reminder,
        retire=RetireMode.MANUAL if said.retire is RetireMode.MANUAL else RetireMode.LET_EXPIRE,
        alert_before=tuple({*said.alert_before, *provider.remind_before}),
    )


def _probe(verify: Verify) -> Probe | None:
    line, where = verify.request, verify.credential_in
    if line is None or where is None:
        return None
    return Probe(line.method, line.path, where.header, where.scheme or "", verify.expect.status or (200,))


def policy(section: PolicySection) -> model.Policy:
    """Return a policy as the core knows it."""
    return model.Policy(
        lifetime=section.lifetime,
        rotate_before=section.rotate_before,
        grace=section.grace,
        max_age=section.max_age,
        retire=section.retire,
        window=None if section.window is None else section.window.window(),
        quarantine=section.quarantine,
        max_creations=section.max_creations,
        accept_gap=section.accept_gap,
        prepare=section.prepare,
        alert_before=section.alert_before,
    )
