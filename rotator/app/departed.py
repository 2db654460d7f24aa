"""Works with credentials that the state knows and the configuration no longer does; it issues and proves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from rotator.app.house import House, Use
from rotator.errors import Refused
from rotator.kit import Kit
from rotator.model import Credential, CredentialState, Finding, Policy, Procedure, ProofPlan
from rotator.ports import Issued, Listing, Provider, Retired, Verdict
from rotator.secret import Fields


def kit_of_departed(house: House, state: CredentialState) -> Kit | None:
    """Return what is left of the outside world for a credential without an entry; None when its store has gone too.

    It can end the management in the staging area. Raises Misconfigured when a secret of the store is missing.
    """
    store, _, path = state.binding.store_path.partition(":")
    if store not in house.config.stores:
        return None
    credential = Credential(
        name=state.name,
        provider=state.provider,
        kind=state.kind,
        issuer=state.binding.issuer,
        application=state.binding.application,
        store=store,
        path=path,
        policy=Policy(timedelta(days=90), timedelta(days=30), timedelta(days=1)),
        proof=ProofPlan(),
    )
    return Kit(
        credential=credential,
        provider=_provider(house, state),
        store=house.store(store, Use.CHANGE),
        prover=_NoProver(state.name),
        ledger=house.ledger(),
        clock=house.clock,
        install=house.install(store, Use.CHANGE),
        actor=house.actor,
        progress=house.progress,
        pause=house.pause,
    )


def _provider(house: House, state: CredentialState) -> Provider:
    """Return the issuer, where the configuration still has the same one under the same name."""
    section = house.config.providers.get(state.provider)
    if section is not None and section.issuer == state.binding.issuer:
        return house.provider(state.provider)
    return _NoProvider(state.name)


def _departed(name: str) -> Refused:
    return Refused(
        f"{name} has left the configuration, so its issuer and its token endpoint are not known any more.",
        hint=f"Put it back, or leave its versions to others: rotator forget {name} --leave",
        code="departed",
    )


class _NoProvider:
    """An issuer that is not known any more."""

    procedure = Procedure.OVERLAP

    def __init__(self, name: str) -> None:
        self._name = name

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        raise _departed(self._name)

    def list(self, application: str) -> Listing:
        raise _departed(self._name)

    def retire(self, application: str, key_id: str) -> Retired:
        raise _departed(self._name)

    def check(self, application: str, lifetime: timedelta, subject: str) -> Sequence[Finding]:
        raise _departed(self._name)

    def close(self) -> None:
        pass


class _NoProver:
    """A token endpoint that is not known any more."""

    def __init__(self, name: str) -> None:
        self._name = name

    def prove(self, client_id: str, values: Fields, now: datetime) -> Verdict:
        raise _departed(self._name)

    def check(self, subject: str) -> Sequence[Finding]:
        raise _departed(self._name)
