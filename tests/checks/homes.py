"""Homes: each third-party package is imported in one place, and the root files import the standard library only."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

HOMES: dict[str, tuple[str, ...]] = {
    "aiohttp": ("rotator/providers/entra",),
    "alembic": ("rotator/persistence/", "migrations/"),
    "apscheduler": ("rotator/app/scheduler",),
    "azure": ("rotator/providers/entra",),
    "click": ("rotator/cli/",),
    "cryptography": (
        "rotator/sandbox/",
        "rotator/stores/",
        "rotator/provers/",
        "rotator/providers/",
        "rotator/exports/",
    ),
    "httpcore2": ("rotator/wire/exchange",),
    "httpx": ("rotator/providers/entra",),
    "httpx2": ("rotator/wire/", "rotator/provers/", "rotator/notifications/"),
    "hvac": ("rotator/stores/vault",),
    "jinja2": ("rotator/sandbox/", "rotator/web/"),
    "jwt": ("rotator/provers/", "rotator/sandbox/", "rotator/providers/entra"),
    "kiota_abstractions": ("rotator/providers/entra",),
    "kiota_authentication_azure": ("rotator/providers/entra",),
    "kiota_http": ("rotator/providers/entra",),
    "msgraph": ("rotator/providers/entra",),
    "msgraph_core": ("rotator/providers/entra",),
    "prometheus_client": ("rotator/web/",),
    "pydantic": ("rotator/app/config",),
    "pydantic_core": ("rotator/app/config",),
    "pytest": ("rotator/testing/",),
    "requests": ("rotator/stores/vault",),
    "rich": ("rotator/cli/",),
    "sqlalchemy": ("rotator/persistence/", "migrations/"),
    "starlette": ("rotator/sandbox/", "rotator/web/"),
    "structlog": ("rotator/app/logging",),
    "tenacity": ("rotator/app/retry",),
    "urllib3": ("rotator/stores/vault",),
    "uvicorn": ("rotator/sandbox/", "rotator/web/"),
    "yaml": ("rotator/app/config",),
}
"""Import name -> the beginnings of the paths that may import it. What is not here may not be imported at all."""


def faults() -> list[str]:
    """Return each import out of place as a sentence."""
    return [
        f"{path}:{line}: {package} is imported here; its home is {' or '.join(HOMES.get(package, ('nowhere yet',)))}"
        for path in sorted((*_files("rotator"), *_files("migrations")))
        for package, line in _imported(ROOT / path)
        if package not in sys.stdlib_module_names
        and package != "rotator"
        and not path.startswith(HOMES.get(package, ()))
    ]


def _files(folder: str) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.py")]


def _imported(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], node.lineno
