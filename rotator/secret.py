"""Holds secret values so that they cannot be shown by accident; it does not encrypt and cannot wipe memory.

CPython copies strings as it likes, so nothing here promises zeroed memory. The promise is narrower: a value wrapped
here does not reach a log, a traceback, a pickle, a JSON document or a dictionary key unless somebody calls `reveal()`,
and a test counts the places that do.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from typing import NoReturn

_SHOWN = "<secret>"


class Secret:
    """One secret text. Shown as `<secret>` by str, repr and format; refuses to be hashed, copied or pickled."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError("a Secret is made from text")
        self._text = text

    def reveal(self) -> str:
        """Return the text. Call it only where the bytes leave for the issuer, the store or the token endpoint."""
        return self._text

    def matches(self, other: Secret) -> bool:
        """Say whether both hold the same text, in time that does not depend on where they differ."""
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def begins_with(self, prefix: str) -> bool:
        """Say whether it begins so, as an issuer's list tells of some characters."""
        return self._text.startswith(prefix)

    def longer_than(self, characters: int) -> bool:
        """Say whether it has more characters than that."""
        return len(self._text) > characters

    def looks_masked(self) -> bool:
        """Say whether this is nothing or a mask, as some issuers answer to callers who may not see the value.

        Keycloak, for one, answers `**********` (github.com/keycloak/keycloak/issues/51733).
        """
        return not self._text.strip("*•x ") or self._text != self._text.strip()

    def hidden_from(self, text: str) -> str:
        """Return `text` with every occurrence of this value, or of its first 16 characters, replaced.

        A last net for words that came from outside, such as an endpoint that quotes the request in its error.
        """
        for piece in (self._text, self._text[:16]):
            if len(piece) >= 8:
                text = text.replace(piece, _SHOWN)
        return text

    def __repr__(self) -> str:
        return _SHOWN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return _SHOWN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other)

    __hash__ = None  # type: ignore[assignment]  # a hash is a digest of the value, and would live in dictionaries

    def __bool__(self) -> NoReturn:
        raise TypeError("a Secret has no truth value; ask for what you mean")

    def __iter__(self) -> NoReturn:
        raise TypeError("a Secret cannot be iterated")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied")

    def __copy__(self) -> NoReturn:
        raise TypeError("a Secret cannot be copied")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise TypeError("a Secret cannot be copied")


class Fields:
    """A flat document of texts, some of them secret: shows its keys, never a value.

    What a store returns is sealed as a whole, because a document may hold foreign fields that nobody here can judge.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str | Secret]) -> None:
        self._values = {name: value if isinstance(value, Secret) else Secret(value) for name, value in values.items()}

    def secret(self, name: str) -> Secret | None:
        """Return one field, still sealed, or None when the document has no such field."""
        return self._values.get(name)

    def text(self, name: str) -> str | None:
        """Return one field in clear. For the names of metadata (`key_id`, `expires_at`, …) only, never for a value."""
        value = self._values.get(name)
        return None if value is None else value.reveal()

    def merged(self, changes: Mapping[str, str | Secret]) -> Fields:
        """Return a copy with `changes` laid over it; every other field survives."""
        return Fields({**self._values, **changes})

    def without(self, *names: str) -> Fields:
        """Return a copy that lacks the named fields."""
        return Fields({name: value for name, value in self._values.items() if name not in names})

    def differing(self, other: Fields) -> frozenset[str]:
        """Return the names whose value differs, or that only one of the two has."""
        names = self._values.keys() | other._values.keys()
        return frozenset(name for name in names if self._values.get(name) != other._values.get(name))

    def reveal(self) -> dict[str, str]:
        """Return all in clear. Call it only where a store adapter sends the document."""
        return {name: value.reveal() for name, value in self._values.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and not self.differing(other)

    __hash__ = None  # type: ignore[assignment]  # as for Secret

    def __repr__(self) -> str:
        return f"Fields({', '.join(sorted(self._values))})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("Fields cannot be pickled or copied")
