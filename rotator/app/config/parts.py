"""What every section of the grammar is made of: small types with their faults and their JSON Schema; no sections.

The annotations here say the same as pydantic's PlainValidator, BeforeValidator and WithJsonSchema, without looking at
signatures and source types: with some hundred of them that is a third of the time that `rotator status` has for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Discriminator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema
from pydantic_core.core_schema import (
    ValidationInfo,
    no_info_before_validator_function,
    no_info_plain_validator_function,
    with_info_plain_validator_function,
)

from rotator.app.config import values
from rotator.app.config.references import Reference, parse_reference
from rotator.app.config.values import Wrong

JsonSchema = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Parsed:
    """A type that one function reads, and what an editor is told of it."""

    parse: Callable[[object], Any]
    json: Mapping[str, Any] = field(default_factory=dict)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return dict(self.json)


@dataclass(frozen=True, slots=True, eq=False)
class ParsedHere:
    """The same for a function that wants to know the folder of the file."""

    parse: Callable[[object, Path], Any]
    json: Mapping[str, Any] = field(default_factory=dict)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        parse = self.parse

        def validate(found: object, info: ValidationInfo[Any]) -> Any:
            return parse(found, info.context["base"])

        return with_info_plain_validator_function(validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return dict(self.json)


@dataclass(frozen=True, slots=True, eq=False)
class First:
    """A function that sees what stands in the file before the type it annotates does."""

    change: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(self.change, handler(source))


def word(description: str, **more: object) -> dict[str, Any]:
    """Return the JSON Schema of a text."""
    return {"type": "string", "description": description, **more}


def later(*names: str) -> First:
    """Refuse texts that a later release will know."""

    def refuse(found: Any) -> Any:
        if isinstance(found, str) and found in names:
            raise Wrong(f"`{found}` comes with a later release")
        return found

    return First(refuse)


def _nothing_yet(found: Any) -> None:
    if found:
        raise Wrong("comes with a later release", "Leave it out; it would do nothing, and nothing here is ignored.")


def _mapping(found: Any) -> Any:
    return {} if found is None else found


def _sequence(found: Any) -> Any:
    return [] if found is None else found


OR_EMPTY = First(_mapping)
"""Takes a section of which every line is commented out as empty."""

OR_NONE_OF_THEM = First(_sequence)
"""Takes a list of which every line is commented out as empty."""


def _either(parse: Callable[[object], Any]) -> Callable[[object], tuple[Any, ...]]:
    """Accept one value or a list of at least one."""

    def several(found: object) -> tuple[Any, ...]:
        if isinstance(found, list) and not found:
            raise Wrong("an empty list checks nothing; leave the key out, or name what is expected")
        return tuple(parse(item) for item in (found if isinstance(found, list) else [found]))

    return several


def _listed(found: object) -> Any:
    if not isinstance(found, list):
        raise Wrong("must be a list")
    return _either(values.some_text)(found)


def _bearer(found: object) -> str:
    return values.some_text(found).lower()


def _whole(least: int, most: int) -> Parsed:
    def parse(found: object) -> int:
        if not isinstance(found, int) or isinstance(found, bool):
            raise Wrong("must be a whole number")
        if not least <= found <= most:
            raise Wrong(f"must be at least {least}" if found < least else f"must be at most {most}")
        return found

    return Parsed(parse, {"type": "integer", "minimum": least, "maximum": most})


def _truth(found: object) -> bool:
    if not isinstance(found, bool):
        raise Wrong("must be true or false")
    return found


def _version(found: object) -> int:
    if type(found) is not int or found != 1:  # `true` equals 1 as well
        raise Wrong("must be 1")
    return found


_TEXTS = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_PATH = "^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$"
_REFERENCE = "^(env:|file:|cred:|vault:.+/.+#).+$"

Duration = Annotated[
    timedelta,
    Parsed(values.parse_duration, word("a whole number and one unit of s, m, h, d, w", pattern="^[0-9]+[smhdw]$")),
]
PositiveDuration = Annotated[
    timedelta,
    Parsed(
        values.positive_duration, word("longer than 0s, in one unit of s, m, h, d, w", pattern="^0*[1-9][0-9]*[smhdw]$")
    ),
]
MomentLong = Annotated[
    timedelta, Parsed(values.moment_long, word("longer than 0s, 60s at most", pattern="^[0-9]+[sm]$"))
]
Program = Annotated[
    tuple[str, ...], Parsed(values.program, {"type": "array", "items": {"type": "string"}, "minItems": 1})
]
Count = Annotated[int, _whole(1, 100_000)]
Truth = Annotated[bool, Parsed(_truth, {"type": "boolean"})]
Text = Annotated[str, Parsed(values.text, word("one line of text"))]
SomeText = Annotated[str, Parsed(values.some_text, word("one line of text, not empty"))]
Name = Annotated[str, Parsed(values.name, word("a name", pattern="^[a-z0-9][a-z0-9._-]{0,62}$"))]
Guid = Annotated[str, Parsed(values.guid, word("a GUID", format="uuid"))]
Tenant = Annotated[str, Parsed(values.tenant, word("the GUID or a domain name of a tenant"))]
StorePath = Annotated[str, Parsed(values.store_path, word("segments with one / between them", pattern=_PATH))]
HttpsBase = Annotated[str, Parsed(values.https_base, word("an https URL", pattern="^https://"))]
WebBase = Annotated[str, Parsed(values.web_base, word("an https URL, or http on loopback", format="uri"))]
EndpointUrl = Annotated[str, Parsed(values.endpoint_url, word("an https URL", format="uri"))]
WebUrl = Annotated[str, Parsed(values.web_url, word("an https URL, or http on loopback", format="uri"))]
ProxyUrl = Annotated[str, Parsed(values.proxy_url, word("the URL of a proxy", format="uri"))]
FilePath = Annotated[Path, ParsedHere(values.absolute, word("a file, relative to this one"))]
SecretRef = Annotated[
    Reference, ParsedHere(parse_reference, word("where a secret is, never the secret itself", pattern=_REFERENCE))
]
Copies = Annotated[
    tuple[values.Copy, ...],
    ParsedHere(values.copies, {"type": "array", "items": {"type": "string", "pattern": "^(syslog|file:.+)$"}}),
]
Later = Annotated[None, Parsed(_nothing_yet, {"type": "null"})]
OneOrMore = Annotated[tuple[str, ...], Parsed(_either(values.some_text), {"anyOf": [{"type": "string"}, _TEXTS]})]
SomeTexts = Annotated[tuple[str, ...], Parsed(_listed, _TEXTS)]
TokenType = Annotated[str, Parsed(_bearer, word("such as bearer, in any case"))]
LabelKey = Annotated[str, Parsed(values.label_key, word("a label"))]
FieldName = Annotated[str, Parsed(values.document_field, word("the name of a field in the document"))]
Version = Annotated[int, Parsed(_version, {"const": 1})]


class Section(BaseModel):
    """A mapping of the file: unknown keys are refused, what was read does not change, no error shows a value."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    def model_post_init(self, _context: Any, /) -> None:
        """Forget which keys were given: nobody asks, and with 10,000 credentials the sets weigh 19 MB."""
        object.__setattr__(self, "__pydantic_fields_set__", _NOT_KEPT)


_NOT_KEPT: set[str] = set()


def key_of(section: type[BaseModel], name: str) -> str:
    """Return what a field of a section is called in the file, where Python keeps its name for itself."""
    return section.model_fields[name].alias or name


@dataclass(frozen=True, slots=True)
class Coming:
    """Stands beside the variants of a section: the names of those that a later release will know."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pluggable:
    """Stands beside the variants of a section that installed packages may add to. own: those of rotator.

    group: of the entry points. The variant of all that they add has the tag `FOREIGN`.
    """

    group: str
    own: tuple[str, ...]

    @property
    def added(self) -> tuple[str, ...]:
        """Return the names of the variants that installed packages add."""
        from rotator.app.plugins import kinds

        return tuple(one for one in kinds(self.group) if one not in self.own)


FOREIGN: Final = "@"
"""No kind is called so."""


def tagged(key: str, pluggable: Pluggable | None = None) -> Discriminator:
    """Tell the variants of a section apart by the text under `key`. pluggable: where that may be one of a plug-in."""

    def tag(found: Any) -> str | None:
        chosen = found.get(key) if isinstance(found, dict) else None
        if pluggable is not None and isinstance(chosen, str) and chosen not in pluggable.own:
            return FOREIGN if chosen in pluggable.added else f"@{chosen}"
        return None if chosen is None else f"@{chosen}"

    return Discriminator(tag)
