"""Turns sections of the configuration into the parts that they describe; opens a part only when it is asked for one.

Libraries are imported by kind, in the function that needs them: a run that handles no Vault imports no hvac, one that
only reads the state imports neither stores nor issuers. Secrets travel as functions that fetch them at use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rotator.app.config import Reference, Resolver, Verification
from rotator.app.config.config import Probe
from rotator.app.config.foreign import Foreign, ForeignProvider, ForeignStore
from rotator.app.config.keycloak import KeycloakProvider
from rotator.app.config.manual import ManualProvider
from rotator.app.config.registration import RegistrationProvider
from rotator.app.config.systems import (
    AnyProvider,
    AppRoleAuth,
    CertificateAuth,
    ClientSecretAuth,
    EmbeddedStore,
    EntraProvider,
    JwtAuth,
    KubernetesAuth,
    ManagedIdentityAuth,
    TokenAuth,
    VaultCertificateAuth,
    VaultStore,
    WorkloadIdentityAuth,
)
from rotator.clock import Clock
from rotator.errors import Misconfigured, StateUnusable
from rotator.model import Credential
from rotator.plugin import PROVIDERS, STORES, Making
from rotator.ports import Prover, Provider, Store
from rotator.secret import Secret

if TYPE_CHECKING:
    from rotator.app.state import Reader, Writer
    from rotator.expect import Expectations
    from rotator.provers.request import ProofRequest
    from rotator.providers.entra_settings import EntraAuth as EntraLogin
    from rotator.providers.entra_settings import EntraSettings
    from rotator.stores.vault_settings import Auth, VaultSettings

AnyStore = VaultStore | EmbeddedStore | ForeignStore


class Builder(Protocol):
    """Makes parts. Nothing is connected, and no secret fetched, before a part is used; a state is opened at once."""

    def store(self, name: str, section: AnyStore, key: Secret | None) -> Store:
        """Return a store. key: of an embedded one."""

    def provider(self, name: str, section: AnyProvider) -> Provider:
        """Return an issuer."""

    def prover(self, credential: Credential, asked: Verification, provider: AnyProvider) -> Prover:
        """Return what makes the token requests of one credential."""

    def writer(self, database: Path, clock: Clock, command: str, patience: timedelta) -> AbstractContextManager[Writer]:
        """Return the state, locked against other writers. command: who we are, for those who wait.

        patience: how long we wait ourselves.
        """

    def holder(self, database: Path, clock: Clock) -> tuple[int, str] | None:
        """Return process id and kind of whoever has the state locked; None: nobody."""

    def reader(self, database: Path, clock: Clock) -> AbstractContextManager[Reader]:
        """Return the state for reading."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Makes the parts that the configuration describes. folder: where the state is, for what its processes share.

    base: from where the relative paths go that a plug-in names. registrations: what the credentials of a provider
    register as.
    """

    clock: Clock
    resolver: Resolver
    folder: Path | None = field(default=None, kw_only=True)
    base: Path = field(default=Path(), kw_only=True)
    registrations: Callable[[str], Mapping[str, Mapping[str, Any]]] = field(default=lambda _: {}, kw_only=True)

    def store(self, name: str, section: AnyStore, key: Secret | None) -> Store:
        """Return a store, not yet connected. key: of an embedded one."""
        if isinstance(section, EmbeddedStore):
            from rotator.stores.embedded import EmbeddedStore as Embedded

            assert key is not None
            return Embedded(section.path, key, self.clock, name)
        if isinstance(section, ForeignStore):
            brought: Store = self._brought(STORES, name, section, Store)
            return brought
        from rotator.stores.vault import VaultStore as Vault

        return Vault(self.vault_settings(name, section), self.clock)

    def vault_settings(self, name: str, section: VaultStore) -> VaultSettings:
        """Return what a Vault store is told."""
        from rotator.stores.vault_settings import VaultSettings

        return VaultSettings(
            name=name,
            address=section.address,
            mount=section.mount,
            staging_mount=section.staging_mount,
            auth=self._vault_auth(section),
            namespace=section.namespace,
            ca_file=section.ca_file,
            proxy=section.proxy,
        )

    def _vault_auth(self, section: VaultStore) -> Auth:
        from rotator.stores import vault_settings as settings

        auth, fetch = section.auth, self.fetching
        match auth:
            case AppRoleAuth():
                return settings.AppRoleAuth(fetch(auth.role_id), fetch(auth.secret_id), auth.mount)
            case TokenAuth():
                return settings.TokenAuth(fetch(auth.token))
            case VaultCertificateAuth():
                return settings.CertAuth(fetch(auth.certificate), fetch(auth.key), auth.role, auth.mount)
            case JwtAuth():
                return settings.JwtAuth(fetch(auth.token), auth.role, auth.mount)
            case KubernetesAuth():
                return settings.KubernetesAuth(auth.token_file, auth.role, auth.mount)

    def provider(self, name: str, section: AnyProvider) -> Provider:
        """Return an issuer, not yet connected."""
        if isinstance(section, EntraProvider):
            from rotator.providers.entra import EntraProvider as Entra

            return Entra(self.entra_settings(name, section), self.clock)
        if isinstance(section, ManualProvider):
            from rotator.providers.manual import ManualProvider as ByHand

            return ByHand(name, section.portal)
        if isinstance(section, ForeignProvider):
            made: Provider = self._brought(PROVIDERS, name, section, Provider)
            return made
        if isinstance(section, KeycloakProvider):
            from rotator.app.describing import realm

            return realm(name, section, self.fetching, self.clock)
        if isinstance(section, RegistrationProvider):
            from rotator.app.describing import registration

            return registration(name, section, self.fetching, self.clock, self.registrations(name))
        from rotator.app.describing import described

        return described(name, section, self.fetching, self.clock, self.folder)

    def entra_settings(self, name: str, section: EntraProvider) -> EntraSettings:
        """Return what an Entra provider is told."""
        from rotator.providers.entra_settings import EntraSettings, Signing

        return EntraSettings(
            name=name,
            tenant=section.tenant,
            authority=section.authority_url,
            graph=section.graph_url,
            auth=self._entra_auth(section),
            ca_file=section.ca_file,
            proxy=section.proxy,
            signing=Signing(by.command, by.timeout) if (by := section.sign_with) is not None else None,
        )

    def _entra_auth(self, section: EntraProvider) -> EntraLogin:
        from rotator.providers import entra_settings as settings

        auth, fetch = section.auth, self.fetching
        match auth:
            case ClientSecretAuth():
                named = str(auth.client_secret)
                return settings.ClientSecretAuth(auth.client_id, fetch(auth.client_secret), named)
            case CertificateAuth():
                return settings.CertificateAuth(auth.client_id, fetch(auth.certificate), str(auth.certificate))
            case ManagedIdentityAuth():
                return settings.ManagedIdentityAuth(auth.client_id)
            case WorkloadIdentityAuth():
                return settings.WorkloadIdentityAuth(auth.client_id, auth.token_file)

    def prover(self, credential: Credential, asked: Verification, provider: AnyProvider) -> Prover:
        """Return what makes the token requests of one credential."""
        if asked.probe is not None:
            return self._probing(asked, asked.probe, credential.proof.deadline)
        from rotator.provers.client_credentials import ClientCredentialsProver

        request = self.proof_request(asked, provider)
        in_time = replace(request, deadline=min(request.deadline, credential.proof.deadline))
        return ClientCredentialsProver(in_time, self.clock)

    def _probing(self, asked: Verification, probe: Probe, deadline: timedelta) -> Prover:
        from rotator.provers.http_probe import HttpProbeProver, ProbeRequest

        request = ProbeRequest(
            method=probe.method,
            url=probe.url,
            header=probe.header,
            scheme=probe.scheme,
            expect=frozenset(probe.expect),
            ca_file=asked.ca_file,
            proxy=asked.proxy,
            unsafe_plain_http=asked.unsafe_plain_http,
        )
        return HttpProbeProver(replace(request, deadline=min(request.deadline, deadline)), self.clock)

    def proof_request(self, asked: Verification, provider: AnyProvider) -> ProofRequest:
        """Return what a proof asks for. Raises Misconfigured when that contradicts itself."""
        from rotator.provers.request import ClientAuth, ProofRequest, Signature

        return ProofRequest(
            token_url=asked.token_url,
            client_auth=ClientAuth(asked.client_auth.value),
            scope=asked.scope,
            params=asked.params,
            expectations=expectations(asked, provider),
            signature=Signature(asked.signature.value),
            keys_url=asked.keys_url,
            client_id=asked.client_id,
            ca_file=asked.ca_file,
            proxy=asked.proxy,
            unsafe_plain_http=asked.unsafe_plain_http,
        )

    @contextmanager
    def writer(self, database: Path, clock: Clock, command: str, patience: timedelta) -> Iterator[Writer]:
        """Lock and open the state for writing; older tables are brought up to date, with a copy kept beside."""
        from rotator.persistence.ledger import SqlLedger
        from rotator.persistence.lock import StateLock

        with StateLock(database, clock, command, patience):
            try:
                ledger = SqlLedger(database, clock)
            except StateUnusable as error:
                if error.code != "state_old":
                    raise
                from rotator.persistence.copies import upgrade

                upgrade(database, clock)
                ledger = SqlLedger(database, clock)
            with ledger:
                yield ledger

    def holder(self, database: Path, clock: Clock) -> tuple[int, str] | None:
        """Return process id and kind of whoever has the state locked."""
        from rotator.persistence.lock import StateLock

        found = StateLock(database, clock).holder()
        return None if found is None else (found.pid, found.kind)

    @contextmanager
    def reader(self, database: Path, clock: Clock) -> Iterator[Reader]:
        """Open the state for reading."""
        from rotator.persistence.reading import Reader

        with Reader(database) as reader:
            yield reader

    def _brought(self, group: str, name: str, section: Foreign, port: type) -> Any:
        """Return what a plug-in brings."""
        from rotator.app import plugins

        making = Making(name, section.settings, self._fetching_text, self.clock)
        return plugins.make(group, section.kind, making, port=port)

    def _fetching_text(self, text: str) -> Callable[[], Secret]:
        """Return what fetches a secret that a plug-in names. Raises Misconfigured when the text is no reference."""
        from rotator.app.config.references import parse_reference
        from rotator.app.config.values import Wrong

        try:
            return self.fetching(parse_reference(text, self.base))
        except Wrong as wrong:
            raise Misconfigured(f"A secret of a plug-in {wrong.message}.", hint=wrong.hint, code="reference") from None

    def fetching(self, reference: Reference) -> Callable[[], Secret]:
        """Return what fetches a secret, anew each time."""
        return lambda: self.resolver.resolve(reference)


def expectations(asked: Verification, provider: AnyProvider) -> Expectations:
    """Return what the tokens of one credential must be.

    A token signed by the tenant's keys, or got from its own endpoint and signed by any, is a JWT of Entra. It must also
    name our client, that tenant, and a secret, or a certificate, as what the client proved itself with: a proof can
    then not pass by another credential. Any other token may be opaque, or of an issuer with other claims.
    """
    from rotator.app.config.verifying import ClientAuth, SignatureMode
    from rotator.expect import CredentialKind, Expectations, RefreshToken
    from rotator.provers.request import for_entra

    expect = asked.expect
    said = Expectations(
        aud=expect.aud or (),
        roles=expect.roles or (),
        iss=expect.iss,
        min_lifetime=expect.min_lifetime,
        scope=expect.scope or (),
        token_type=expect.token_type,
        refresh_token=None if expect.refresh_token is None else RefreshToken(expect.refresh_token),
    )
    if not isinstance(provider, EntraProvider):
        return said
    theirs = asked.signature is SignatureMode.JWKS_URL and asked.token_url == provider.token_url
    if asked.signature is not SignatureMode.JWKS and not theirs:
        return said
    signs = asked.client_auth is ClientAuth.PRIVATE_KEY_JWT
    return for_entra(said, asked.tenant, CredentialKind.CERTIFICATE if signs else CredentialKind.SECRET)
