"""Works with credentials that the state knows and the configuration no longer does; it issues and proves nothing."""

from __future__ import annotations

from datetime import timedelta

from rotator.app.absent import AbsentProver, AbsentProvider
from rotator.app.config.described import HttpProvider
from rotator.app.config.manual import ManualProvider
from rotator.app.config.systems import AnyProvider
from rotator.app.house import House, Use
from rotator.errors import Refused
from rotator.kit import Kit
from rotator.model import Credential, CredentialState, Policy, Procedure, ProofPlan
from rotator.ports import Provider


def kit_of_departed(house: House, state: CredentialState) -> Kit | None:
    """Return what is left of the outside world for a credential without an entry; None when its store has gone too.

    It can end the management in the staging area, and its versions where the issuer is configured still. Raises
    Misconfigured when a secret of the store is missing.
    """
    store, _, path = state.binding.store_path.partition(":")
    if store not in house.config.stores:
        return None
    section, issuer = _issuer(house, state)
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
        by_hand="a person makes it" if isinstance(section, ManualProvider) else "",
        procedure=section.procedure if section is not None else state.procedure or Procedure.OVERLAP,
        labelled=section is None or section.labelled,
        longest_label=section.longest_label if isinstance(section, HttpProvider) else None,
    )
    prover, install = AbsentProver(lambda: departed(state.name)), house.install(store, Use.CHANGE)
    return house.kit_with(credential, issuer, house.store(store, Use.CHANGE), prover, house.ledger(), install)


def _issuer(house: House, state: CredentialState) -> tuple[AnyProvider | None, Provider]:
    """Return the issuer, where the configuration still has the same one under the same name, and what it says of it."""
    section = house.config.providers.get(state.provider)
    if section is not None and section.issuer == state.binding.issuer:
        return section, house.provider(state.provider)
    return None, AbsentProvider(lambda: departed(state.name))


def departed(name: str) -> Refused:
    """Return why an issuer cannot be asked about a credential without an entry."""
    return Refused(
        f"{name} has left the configuration, so its issuer and its token endpoint are not known any more.",
        hint=f"Put it back, or leave its versions to others: rotator forget {name} --leave",
        code="departed",
    )
