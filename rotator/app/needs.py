"""Which secrets a run needs, and whether they are there before anything is contacted. Keeps none of them.

The key of an embedded store is special: it may still have to be made. That is so only while the store is empty, or a
lost key would be replaced by one that opens nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rotator.app.config import Config, Reference, Resolver, Scheme
from rotator.app.config.checks import references
from rotator.app.config.systems import EmbeddedStore
from rotator.errors import Misconfigured
from rotator.model import Credential
from rotator.secret import Fields, Secret


class Owner(NamedTuple):
    """Whose secret it is: an entry under `stores` or `providers`."""

    section: str
    name: str


def owners(credentials: Iterable[Credential]) -> list[Owner]:
    """Return the stores and providers of these credentials."""
    credentials = tuple(credentials)
    return [
        *(Owner("stores", name) for name in dict.fromkeys(one.store for one in credentials)),
        *(Owner("providers", name) for name in dict.fromkeys(one.provider for one in credentials)),
    ]


def secrets_of(config: Config, wanted: Iterable[Owner]) -> Iterator[tuple[Owner, Reference]]:
    """Yield the secrets of these entries, without keys that are still to be made.

    Stores that are only read for a `vault:` reference come with them.
    """
    todo = list(wanted)
    seen = set(todo)
    while todo:
        owner = todo.pop(0)
        section = config.stores[owner.name] if owner.section == "stores" else config.providers[owner.name]
        if isinstance(section, EmbeddedStore) and key_is_to_be_made(section):
            continue
        for _, reference in references(section):
            yield owner, reference
            further = Owner("stores", reference.store)
            if reference.scheme is Scheme.VAULT and further not in seen:
                seen.add(further)
                todo.append(further)


def require(config: Config, resolver: Resolver, wanted: Iterable[Owner]) -> None:
    """See that every env:, file: and cred: of these entries is there. Raises Misconfigured (78) that names the rest."""
    missing: list[Misconfigured] = []
    for _, reference in secrets_of(config, wanted):
        try:
            if reference.scheme is not Scheme.VAULT:
                resolver.resolve(reference)
        except Misconfigured as error:
            missing.append(error)
    if len(missing) == 1:
        raise missing[0]
    if missing:
        said = "\n".join(f"{error.message}\n  {error.hint}" for error in missing)
        hint = "Nothing was contacted. Put these right, then look again: rotator check --offline"
        raise Misconfigured(said, hint=hint, code="secret_missing")


def keys_to_be_made(config: Config) -> Iterator[tuple[str, Reference]]:
    """Yield the stores whose key is made on first use, with the key's reference."""
    for name, section in config.stores.items():
        if isinstance(section, EmbeddedStore) and key_is_to_be_made(section):
            yield name, section.key


def key_is_to_be_made(section: EmbeddedStore) -> bool:
    """Say whether the store's key does not exist yet and may be made: nothing is sealed with another one."""
    if section.key.scheme is not Scheme.FILE or section.key.path.exists() or section.key.path.is_symlink():
        return False
    try:
        return next(section.path.iterdir(), None) is None
    except FileNotFoundError:
        return True
    except OSError:
        return False


def key_of(section: EmbeddedStore, resolver: Resolver, *, may_make: bool) -> Secret:
    """Return the key of an embedded store. It is made only for a store that does not exist yet, or all is lost."""
    from rotator.stores.embedded import new_key

    if not key_is_to_be_made(section):
        return resolver.resolve(section.key)
    if not may_make:
        return new_key()  # fits nothing, and there is nothing that it would have to fit
    return resolver.resolve_or_create(section.key, f"{new_key().reveal()}\n".encode)


def field_of(fields: Fields | None, reference: Reference, where: str) -> Secret:
    """Return the field that a `vault:` reference names. where: it stands, for the message. Raises Misconfigured."""
    found = fields.secret(reference.field) if fields is not None else None
    if found is None:
        what = "there is no such document" if fields is None else "the document has no such field"
        hint = "Write it there, or correct the reference."
        raise Misconfigured(f"{where}{reference}: {what}.", hint=hint, code="secret_missing")
    return found
