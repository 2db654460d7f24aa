"""Finds Keycloak for the tests, or fetches it once a machine with Maven; needs a JDK of 17 or newer, ships nothing.

What is fetched is built right away for what the tests want of it, and put in its place only then: Keycloak would do
that at its first start, and two that start at once would get in each other's way.

`python tests/servers/keycloak.py` does what is needed and prints where it is. Without a JDK or Maven it says what is
not tested and how to get it; that is an error where CI is set (CI=true), and else none. Standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

VERSION = "26.7.3"
SHA256 = "27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f"
ARTIFACT = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
LEAST_JAVA = 17
BUILT_FOR = ("--db=dev-mem", "--features=client-secret-rotation")
COST = f"""\
Fetching Keycloak {VERSION} for the tests, once on this machine: 180 MB by Maven, 220 MB afterwards; then it builds
itself, half a minute on an idle machine.
"""


class Missing(Exception):
    """There is no Keycloak and none could be had; the text says why and what to do."""


def home() -> Path:
    """Return where it is, or would be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "rotatord" / "servers" / f"keycloak-{VERSION}-built"


def usable() -> bool:
    """Say whether it is there and can be run."""
    return (home() / "bin" / "kc.sh").exists() and _java() >= LEAST_JAVA


def needed() -> bool:
    """Say whether its absence is a failure rather than something to be told."""
    return os.environ.get("CI", "").lower() in ("true", "1", "yes")


def ensure() -> Path:
    """Return where it is; fetch it first if it is not there. Raises Missing."""
    if _java() < LEAST_JAVA:
        there = (
            f"no JDK of {LEAST_JAVA} or newer is `{java()}`, which kc.sh would take (JAVA, JAVA_HOME, then the PATH)"
        )
        raise Missing(f"{there}; install one, such as openjdk-{LEAST_JAVA}-jdk")
    if usable():
        return home()
    if shutil.which("mvn") is None:
        raise Missing("no Maven (mvn) is on the PATH to fetch it with; install it, such as Debian's package maven")
    home().parent.mkdir(parents=True, exist_ok=True)
    with (home().parent / "keycloak.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not usable():
            print(COST, flush=True)
            _fetch()
    return home()


def _fetch() -> None:
    with tempfile.TemporaryDirectory(prefix=".keycloak-", dir=home().parent) as work:
        command = [
            "mvn",
            "-q",
            "-B",
            "-Dstyle.color=never",
            COPY,
            f"-Dartifact={ARTIFACT}",
            f"-DoutputDirectory={work}",
        ]
        if subprocess.run(command, cwd=work).returncode != 0:
            raise Missing("Maven could not fetch it; its lines above say why")
        archive = Path(work) / f"keycloak-quarkus-dist-{VERSION}.zip"
        if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
            raise Missing(f"what Maven fetched is not Keycloak {VERSION} as it was when this was written")
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(work)
        made = Path(work) / f"keycloak-{VERSION}"
        (made / "bin" / "kc.sh").chmod(0o755)
        if subprocess.run([made / "bin" / "kc.sh", "build", *BUILT_FOR], env=environment()).returncode != 0:
            raise Missing("it could not be built; its lines above say why")
        made.replace(home())


def environment() -> dict[str, str]:
    """Return what it is run with: nothing of this environment configures it."""
    return {name: text for name, text in os.environ.items() if not name.startswith(("KC_", "JAVA_OPTS"))}


def java() -> str:
    """Return the Java that kc.sh would take."""
    base = os.environ.get("JAVA_HOME")
    return os.environ.get("JAVA") or (f"{base}/bin/java" if base else "java")


def _java() -> int:
    """Return the version of the Java that it would run with; 0: there is none."""
    try:
        told = subprocess.run([java(), "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', told.stderr + told.stdout)
    return int(found[1]) if found else 0


def main() -> int:
    """Print which one is used. Exit status 1 when there is none and CI is set."""
    try:
        print(f"Keycloak for the tests: {ensure()}")
    except Missing as missing:
        print("!" * 100, f"There is no Keycloak, so nothing is tested against a real one: {missing}", sep="\n")
        print("!" * 100, flush=True)
        return 1 if needed() else 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
