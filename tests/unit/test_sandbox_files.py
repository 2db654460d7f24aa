"""What `rotator sandbox` writes for a newcomer."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from cryptography import x509

from rotator.app.config import load
from rotator.sandbox.files import Pace, Scene, prepare_files, render_config
from rotator.sandbox.world import PORT, demo_world

NOW = datetime(2026, 5, 1, tzinfo=UTC)
TOP = Path(__file__).parents[2] / "config.yaml"


def test_the_sample_at_the_top_is_what_the_sandbox_writes() -> None:
    assert TOP.read_text(encoding="utf-8") == render_config(port=PORT, folder=".sandbox")


def test_the_sample_at_the_top_loads_without_fault_or_warning() -> None:
    loaded = load(TOP)
    assert loaded.warnings == ()
    assert len(loaded.config.credentials) == 2


def test_the_configuration_tracks_applications_that_exist_and_the_demo_tracks_more() -> None:
    apps = {app.app_id for app in demo_world().apps}
    newcomer, demo = (yaml.safe_load(render_config(port=1, scene=scene))["credentials"] for scene in Scene)
    entra = [item for item in newcomer + demo if item["provider"]["use"] == "contoso"]
    assert {item["provider"]["app_id"] for item in entra} <= apps
    assert demo[:2] == newcomer
    assert [item["name"] for item in demo[2:]] == ["fieldops-prod", "screening-eagle-prod", "netwrix-prod"]


def test_the_configuration_of_the_demo_loads_without_a_warning(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(render_config(port=8443, scene=Scene.DEMO), encoding="utf-8")
    loaded = load(tmp_path / "config.yaml")
    assert loaded.warnings == ()
    assert len(loaded.config.credentials) == 5


def test_the_pace_can_be_chosen() -> None:
    policy = yaml.safe_load(render_config(port=1, pace=Pace(grace="3s")))["defaults"]["policy"]
    assert policy["grace"] == "3s"


def test_every_file_that_is_written_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    prepare_files(tmp_path, port=4711, now=NOW)
    names = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    expected = ["ca.pem", "config.yaml", "console-token", "graph-secret", "graph.pem", "server-key.pem", "server.pem"]
    assert names == dict.fromkeys(expected, 0o600)


def test_a_second_start_keeps_every_file(tmp_path: Path) -> None:
    prepare_files(tmp_path, port=4711, now=NOW)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    prepare_files(tmp_path, port=4711, now=NOW + timedelta(days=30))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_certificates_near_their_end_are_made_anew(tmp_path: Path) -> None:
    before = prepare_files(tmp_path, port=4711, now=NOW)
    after = prepare_files(tmp_path, port=4711, now=NOW + timedelta(days=360))
    assert after.certificate.serial_number != before.certificate.serial_number
    server = x509.load_pem_x509_certificate(after.tls.certificate_file.read_bytes())
    assert server.not_valid_after_utc > NOW + timedelta(days=700)


def test_a_damaged_key_is_replaced_together_with_its_certificate(tmp_path: Path) -> None:
    files = prepare_files(tmp_path, port=4711, now=NOW)
    files.tls.key_file.write_text("not a key")
    prepare_files(tmp_path, port=4711, now=NOW)
    assert b"PRIVATE KEY" in files.tls.key_file.read_bytes()


def test_an_untouched_configuration_follows_the_port_and_an_edited_one_is_left_alone(tmp_path: Path) -> None:
    prepare_files(tmp_path, port=4711, now=NOW)
    moved = prepare_files(tmp_path, port=4712, now=NOW)
    assert not moved.config_kept
    assert "127.0.0.1:4712" in moved.config_file.read_text()
    moved.config_file.write_text(moved.config_file.read_text() + "# mine\n")
    kept = prepare_files(tmp_path, port=4713, now=NOW)
    assert kept.config_kept
    assert kept.config_file.read_text().endswith("# mine\n")
