"""Whether the Keycloak of the tests can be run is asked of the very Java that kc.sh would take."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import keycloak


def made(folder: Path, version: str) -> str:
    """Write a Java that says it is of this version; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "java"
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_the_java_is_the_one_that_its_script_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    script = keycloak.home() / "bin" / "kc.sh"
    script.parent.mkdir(parents=True)
    script.touch()
    monkeypatch.setenv("PATH", f"{Path(made(tmp_path / 'path', '17.0.1')).parent}:/bin")
    monkeypatch.delenv("JAVA", raising=False)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert keycloak.usable()
    made(tmp_path / "home" / "bin", "11.0.2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert not keycloak.usable()
    monkeypatch.setenv("JAVA", made(tmp_path / "own", "25"))
    assert keycloak.usable() and keycloak.java() == str(tmp_path / "own" / "java")
