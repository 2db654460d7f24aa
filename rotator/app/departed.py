"""Works with credentials that the state knows and the configuration no longer does; it issues and proves nothing."""

from __future__ import annotations

from datetime import timedelta

from rotator.app.absent import AbsentProver, AbsentProvider
from rotator.app.house import House, Use
from rotator.errors import Refused
from rotator.kit import Kit
from rotator.model import Credential, CredentialState, Policy, ProofPlan
from rotator.ports import Provider


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
        prover=AbsentProver(lambda: _departed(state.name)),
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
    return AbsentProvider(lambda: _departed(state.name))


def _departed(name: str) -> Refused:
    return Refused(
        f"{name} has left the configuration, so its issuer and its token endpoint are not known any more.",
        hint=f"Put it back, or leave its versions to others: rotator forget {name} --leave",
        code="departed",
    )
