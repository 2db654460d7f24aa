"""Dependencies: pyproject.toml, requirements/*.in and *.txt speak of the same packages."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"


def faults() -> list[str]:
    """Return each difference as a sentence."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = set(tomllib.load(file)["project"]["dependencies"])
    wanted = _ranges("runtime.in")
    found = [f"{one!r} is in pyproject.toml and not in requirements/runtime.in" for one in sorted(project - wanted)]
    found += [f"{one!r} is in requirements/runtime.in and not in pyproject.toml" for one in sorted(wanted - project)]
    development = _pins("dev.txt")
    for name in ("runtime.txt", "build.txt"):
        found += [
            f"{package} {version} in {name} is {development.get(package)} in dev.txt; run `make requirements`"
            for package, version in _pins(name).items()
            if development.get(package) != version
        ]
    for source in sorted(REQUIREMENTS.glob("*.in")):
        pinned = _pins(source.with_suffix(".txt").name)
        found += [
            f"{one!r} of {source.name} is not pinned; run `make requirements`"
            for one in sorted(_ranges(source.name))
            if _normal(re.split(r"[\[<>=!~;]", one)[0]) not in pinned
        ]
    return found


def _ranges(name: str) -> set[str]:
    lines = (line.partition("#")[0].strip() for line in (REQUIREMENTS / name).read_text(encoding="utf-8").splitlines())
    return {line for line in lines if line and not line.startswith("-")}


def _pins(name: str) -> dict[str, str]:
    text = (REQUIREMENTS / name).read_text(encoding="utf-8")
    return {
        _normal(package): version for package, version in re.findall(r"^([\w.\[\]-]+?)(?:\[.*\])?==(\S+)", text, re.M)
    }


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package.strip()).lower()
