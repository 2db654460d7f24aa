"""Documents: their links lead somewhere, their commands exist, and whole configurations in them load.

What a sentence claims is for people to check.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rotator.app.config import ConfigFaults, load
from rotator.cli.main import SECTIONS

ROOT = Path(__file__).parents[2]

_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
_COMMAND = re.compile(r"(?:`|\$ |^ {4})(?:\.venv/bin/)?rotator(?: --config \S+)? ([a-z]+)", re.MULTILINE)
_TARGET = re.compile(r"(?:`|\$ |^ {4})make ([a-z-]+)", re.MULTILINE)
_PATH = re.compile(r"`((?:rotator|tests|docs|requirements|migrations)/[\w./*-]+)`")
_YAML = re.compile(r"```yaml\n(version: 1\n.*?)```", re.DOTALL)


def faults() -> list[str]:
    """Return what a document says that is not so, as sentences."""
    commands = {name for section in SECTIONS.values() for name in section}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    found: list[str] = []
    for path in sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))):
        text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
        found += [f"{name}: a link leads to {link}, which is not there" for link in _dead_links(path, text)]
        found += [
            f"{name}: there is no command `rotator {word}`" for word in _COMMAND.findall(text) if word not in commands
        ]
        found += [f"{name}: there is no target `make {word}`" for word in _TARGET.findall(text) if word not in targets]
        found += [f"{name}: there is no {one}" for one in _PATH.findall(text) if not _exists(one)]
        found += [f"{name}: a configuration is refused: {why}" for why in _refused(text)]
    return found


def _dead_links(path: Path, text: str) -> Iterator[str]:
    for target, anchor in _LINK.findall(text):
        if target.startswith(("http://", "https://")):
            continue
        there = (path.parent / target) if target else path
        if not there.exists() or (anchor and anchor not in _anchors(there.read_text(encoding="utf-8"))):
            yield f"{target}#{anchor}" if anchor else target


def _anchors(text: str) -> set[str]:
    """Return the anchors that a forge makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _exists(path: str) -> bool:
    return any(ROOT.glob(path.rstrip("/")))


def _refused(text: str) -> Iterator[str]:
    for found in _YAML.findall(text):
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "config.yaml"
            config.write_text(found, encoding="utf-8")
            try:
                load(config)
            except ConfigFaults as error:
                yield str(error).replace(folder, "")
