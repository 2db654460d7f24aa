"""Starts `rotator` processes fast: a process that has imported everything, and forks for each command.

The child is an ordinary process with its own memory, files and locks; only the second that Python needs to import is
saved. `Zygote` is the caller's end, `main` the forking one. It is no part of what is tested.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command ended. signal: the one that killed it, or 0."""

    code: int
    signal: int
    out: str
    err: str

    @property
    def items(self) -> list[dict[str, Any]]:
        """Return the items of its JSON."""
        found: list[dict[str, Any]] = json.loads(self.out)["items"]
        return found


class Zygote:
    """A context manager. Commands run one after the other."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.real_zygote"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(
        self,
        folder: Path,
        environ: Mapping[str, str],
        *args: str,
        die_at: int | None = None,
        linger: timedelta | None = None,
    ) -> Ended:
        """Run a command to its end, and its end may be a SIGKILL: see `real_guillotine`."""
        order = {
            "folder": str(folder),
            "environ": dict(environ),
            "args": args,
            "die_at": die_at,
            "linger": None if linger is None else linger.total_seconds(),
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        out, err = ((folder / name).read_text(encoding="utf-8") for name in ("zygote.out", "zygote.err"))
        killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return Ended(-killed if killed else os.WEXITSTATUS(status), killed, out, err)

    @staticmethod
    def calls(folder: Path) -> list[str]:
        """Return the calls that the last command there made, when it came to its end."""
        return (folder / "zygote.calls").read_text(encoding="utf-8").splitlines()


def main() -> None:
    """Fork for each order on standard input, and answer with the status of the child."""
    _import_everything()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(status, flush=True)


def _import_everything() -> None:
    import rotator

    for module in pkgutil.walk_packages(rotator.__path__, "rotator."):
        if module.name != "rotator._migrations":
            importlib.import_module(module.name)
    import hvac  # noqa: F401
    import msgraph  # noqa: F401


def _become(order: Mapping[str, Any]) -> None:
    """Be that command, to the end of this process."""
    from rotator.cli.main import main as rotator_main
    from tests.fakes.real_guillotine import Guillotine, report, wrap_parts

    folder, linger = Path(order["folder"]), order["linger"]
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(order["environ"])
    for number, name in ((1, "zygote.out"), (2, "zygote.err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    tape = Guillotine(die_at=order["die_at"], linger=None if linger is None else timedelta(seconds=linger))
    wrap_parts(tape)
    code = 1
    try:
        rotator_main(list(order["args"]))
    except SystemExit as end:
        code = int(end.code or 0)
    report(tape, folder / "zygote.calls")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
