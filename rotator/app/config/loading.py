"""Finds and reads a configuration whole, or says all that is wrong with it; contacts nothing, resolves no secret.

The way through: text → plain data (`yaml`) → sections (`schema`, `systems`) → what concerns several (`checks`) →
`Config`. Lines and columns are looked up at the end, and only when there is a fault.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from rotator.app.config.checks import KINDS, across, warnings
from rotator.app.config.config import Config
from rotator.app.config.explain import Explained, explain
from rotator.app.config.faults import ConfigFaults, Fault
from rotator.app.config.foreign import ForeignProvider
from rotator.app.config.known import Known
from rotator.app.config.parts import Section
from rotator.app.config.references import Reference, Resolver
from rotator.app.config.schema import Credential, File, IncludedFile
from rotator.app.config.source import Entry, Pending, Sound, Source, entries, included, placed, read, without
from rotator.app.config.unheeded import unheeded
from rotator.app.config.yaml import find_text
from rotator.errors import Misconfigured
from rotator.secret import Secret

S = TypeVar("S", bound=Section)

VARIABLE: Final = "ROTATOR_CONFIG"
PLACES: Final = (Path("config.yaml"), Path("/etc/rotator/config.yaml"))


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be used. digest: SHA-256 in hex over the bytes of all `files`, in their order."""

    config: Config
    warnings: tuple[str, ...]
    digest: str
    files: tuple[Path, ...]

    def locate(self, reference: Reference) -> str:
        """Return where a reference stands, as `file:line:column: `, or nothing when the files have changed since."""
        for path in self.files:
            source, _ = read(path)
            if source is not None and (spot := find_text(source.text, reference.written)) is not None:
                return f"{path}:{spot.line}:{spot.column}: "
        return ""

    def resolver(
        self,
        environ: Mapping[str, str],
        vault: Callable[[Reference], Secret] | None = None,
        argv: Sequence[str] = ("rotator", "check"),
    ) -> Resolver:
        """Return what fetches the secrets named here; `vault` and `argv` as for `Resolver`."""
        names = self.config.systemd_credentials
        return Resolver(environ, vault=vault, locate=self.locate, credentials=names, argv=argv)


def find(explicit: str | None, environ: Mapping[str, str]) -> Path:
    """Return the file to load: `--config`, else $ROTATOR_CONFIG, else ./config.yaml, else /etc/rotator/config.yaml.

    Raises Misconfigured, naming every place that was looked at.
    """
    for origin, named in (("--config", explicit), (f"${VARIABLE}", environ.get(VARIABLE))):
        if named:
            if not os.path.lexists(named):
                hint = "Correct the path."
                raise Misconfigured(
                    f"There is no file {named}, which {origin} names.", hint=hint, code="config_missing"
                )
            return Path(named)
    for path in PLACES:
        if os.path.lexists(path):
            return path
    looked = f"--config and ${VARIABLE} are not given; {Path.cwd() / PLACES[0]} and {PLACES[1]} do not exist."
    hint = "Name one with --config FILE. To try it out without any server: rotator sandbox"
    raise Misconfigured(f"No configuration was found: {looked}", hint=hint, code="config_missing")


def load(path: Path) -> Loaded:
    """Read, check and return the configuration at `path`. Raises ConfigFaults with every fault of every file."""
    main, faults = read(path)
    if main is None or (main.data is None and faults):
        raise ConfigFaults(faults)
    if not isinstance(main.data, dict):
        what = "the file is empty" if main.data is None else "must be a mapping"
        raise ConfigFaults([*faults, Fault(path, 1, 1, "", what, "Begin with `version: 1`.")])
    paths, sources, more = _included(main)
    faults.extend(more)
    pending: list[Pending] = []
    with _without_plugins():
        file = _checked_file(main, sources, pending)
        found = list(entries(main, [main, *sources]))
        known = _known(main, file)
        _check_entries(known, found, pending)
    pending.extend(across(known, found))
    pending.extend(unheeded(known, file, found))
    if pending:
        faults.extend(placed(pending))
    if faults or file is None:
        raise ConfigFaults(sorted(faults, key=lambda fault: (paths.index(fault.file), fault.line, fault.column)))
    credentials = tuple(entry.model for entry in found if entry.model is not None)
    told = tuple(file.notifications)
    config = Config(main.path, file.state, known.stores, known.providers, credentials, file.service, file.audit, told)
    files = tuple(source.path for source in (main, *sources))
    return Loaded(config, tuple(warnings(known, found)), _digest([main, *sources]), files)


def _included(main: Source) -> tuple[list[Path], list[Source], list[Fault]]:
    """Return all files in their order, those of them that could be read, and the faults of the others."""
    patterns = main.data.get("include")
    paths, pending = included(main, patterns if isinstance(patterns, list) else ())
    faults = placed(pending)
    sources = []
    for path in paths:
        source, more = read(path)
        faults.extend(more)
        if source is not None and not (source.data is None and more):
            sources.append(source)
    return [main.path, *paths], sources, faults


def _checked_file(main: Source, sources: Sequence[Source], pending: list[Pending]) -> File | None:
    """Check everything but the credentials, in all files."""
    # Sections that are left out are checked as empty ones, so that pydantic builds one validator and not one a section.
    data = {"state": {}, "service": {}, "audit": {}, "defaults": {}, **main.data}
    file = _check(File, data, main, pending)
    _check_defaults(main, pending)
    for source in sources:
        if source.data is not None:
            _check(IncludedFile, source.data, source, pending)
    return file


def _check_defaults(main: Source, pending: list[Pending]) -> None:
    """Check the defaults alone: they may be of no use to any credential yet, and a fault in them is one fault."""
    defaults = main.data.get("defaults")
    if not isinstance(defaults, dict):
        return
    sections = {key: defaults[key] for key in ("policy", "verify", "store") if isinstance(defaults.get(key), dict)}
    try:
        Credential.model_validate({"policy": {}, "verify": {}, **sections}, context={"base": main.base})
    except ValidationError as error:
        pending.extend(
            Pending(main, ("defaults", *fault.path), fault.message, fault.hint, fault.at_key)
            for fault in explain(error, Credential, sections)
            if fault.path[:1] and fault.path[0] in sections and not fault.message.endswith("is missing")
        )


def _check_entries(known: Known, found: list[Entry], pending: list[Pending]) -> None:
    for entry in found:
        if not isinstance(entry.own, dict):
            pending.append(entry.fault((), "must be a mapping"))
            continue
        try:
            model = Credential.model_validate(entry.merged, context={"base": entry.source.base})
        except ValidationError as error:
            faults = explain(error, Credential, entry.merged)
            entry.sound = _sound(entry, faults)
            if _of_another_kind(known, entry):
                faults = [fault for fault in faults if fault.path[:1] != ("provider",)]
                entry.sound = replace(entry.sound, provider=None)
            pending.extend(entry.fault(fault.path, fault.message, fault.hint, at_key=fault.at_key) for fault in faults)
        else:
            entry.model = model
            entry.sound = Sound(model.provider, model.store, model.verify, model.policy)


_STAND_INS: Final[Mapping[str, object]] = {
    "name": "x",
    "provider": {"use": "x"},
    "store": {"use": "x", "path": "x"},
    "verify": {"expect": {}},
    "policy": {},
}


def _sound(entry: Entry, faults: Sequence[Explained]) -> Sound:
    """Return the sections as they are without what is wrong in them, each judged alone."""
    wrong = frozenset(fault.path for fault in faults)
    sections: dict[str, Any] = {}
    for key in ("provider", "store", "verify", "policy"):
        if key not in entry.merged or (key,) in wrong:
            continue
        rest = without(entry.merged[key], [path[1:] for path in wrong if path[:1] == (key,)])
        try:
            model = Credential.model_validate({**_STAND_INS, key: rest}, context={"base": entry.source.base})
        except ValidationError:
            continue  # nothing can be said of a section that lacks what it needs
        sections[key] = getattr(model, key)
    return Sound(**sections, wrong=wrong)


def _of_another_kind(known: Known, entry: Entry) -> bool:
    """Say whether the credential's provider is of a kind that is itself refused, so that its keys cannot be judged."""
    provider = entry.own.get("provider")
    use = provider.get("use") if isinstance(provider, dict) else None
    return isinstance(use, str) and use in known.provider_names and known.kinds.get(use) not in _judged(known, use)


def _judged(known: Known, use: str) -> frozenset[str | None]:
    """Return the kinds of which it is known what their credentials need; a plug-in's own say so themselves."""
    provider = known.providers.get(use)
    return KINDS | {provider.kind} if isinstance(provider, ForeignProvider) else frozenset(KINDS)


def _known(main: Source, file: File | None) -> Known:
    """Return what can be named. When the file has faults, its stores and providers are checked one by one."""
    names = {key: section if isinstance(section := main.data.get(key), dict) else {} for key in ("stores", "providers")}
    if file is not None:
        stores, providers = file.stores, file.providers
    else:
        # A fault elsewhere must not hide the faults between those that are right.
        stores = _singly("stores", names["stores"], main.base)
        providers = _singly("providers", names["providers"], main.base)
    kinds = {name: kind for name, said in names["providers"].items() if (kind := _kind_of(said)) is not None}
    return Known(main, stores, providers, frozenset(names["stores"]), frozenset(names["providers"]), kinds)


def _kind_of(section: object) -> str | None:
    kind = section.get("kind") if isinstance(section, dict) else None
    return kind if isinstance(kind, str) else None


def _singly(key: str, section: Mapping[str, Any], base: Path) -> dict[str, Any]:
    right = {}
    for name, value in section.items():
        try:
            file = File.model_validate({"version": 1, key: {name: value}}, context={"base": base})
        except ValidationError:
            continue  # reported with the whole file
        right.update(getattr(file, key))
    return right


def _check(model: type[S], data: object, source: Source, pending: list[Pending]) -> S | None:
    try:
        return model.model_validate(data, context={"base": source.base})
    except ValidationError as error:
        pending.extend(
            Pending(source, fault.path, fault.message, fault.hint, fault.at_key)
            for fault in explain(error, model, data)
        )
        return None


@contextmanager
def _without_plugins() -> Iterator[None]:
    """Keep pydantic from looking for plugins in every installed package: such a plugin would see the configuration.

    PYDANTIC_DISABLE_PLUGINS does the same, but for the whole process and its children, and only after 16 ms of imports,
    a twelfth of what `rotator status` may take. Should pydantic rename its module, this has no effect but time.
    """
    place = "pydantic.plugin._loader"
    before = sys.modules.get(place)
    nothing = ModuleType(place)
    vars(nothing)["get_plugins"] = tuple
    sys.modules[place] = nothing
    try:
        yield
    finally:
        if before is None:
            del sys.modules[place]
        else:
            sys.modules[place] = before


def _digest(sources: Sequence[Source]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(len(source.content).to_bytes(8, "big") + source.content)
    return digest.hexdigest()
