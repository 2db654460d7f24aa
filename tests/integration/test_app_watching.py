"""`status`, `plan` and `history`: what people are told, from the state alone."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.app.planning import plan
from rotator.app.rotating import Wish, rotate
from rotator.app.usage import UsageFault
from rotator.app.watching import Watched, history, status
from rotator.errors import Transient
from rotator.model import Act
from rotator.testing.providers import Fate
from tests.fakes.app_bench import DAY, Bench

STATUS_KEYS = [
    "name",
    "provider",
    "kind",
    "state",
    "current",
    "previous",
    "previous_all",
    "next",
    "last_rotation",
    "error",
]
PLAN_KEYS = ["name", "action", "at", "reason", "sentence"]
STEP_KEYS = ["step", "outcome", "at", "attempt", "detail", "duration_seconds"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def rotated(bench: Bench, *names: str, **wish: object) -> None:
    with bench.house() as house:
        rotate(house, Wish(names=names, **wish))  # type: ignore[arg-type]


def seen(bench: Bench, *names: str, check: bool = False) -> Watched:
    with bench.house() as house:
        return status(house, names, check=check)


def test_without_a_state_every_credential_is_unknown_and_its_first_rotation_is_next(bench: Bench) -> None:
    found = seen(bench, check=True)
    assert [(item["name"], item["state"], item["next"]["reason"]) for item in found.items] == [
        ("one", "unknown", "never_rotated"),
        ("two", "unknown", "never_rotated"),
    ]
    assert found.exit_status == 0
    assert not (bench.folder / "state").exists()


def test_an_empty_state_file_is_no_state(bench: Bench) -> None:
    (bench.folder / "state").mkdir(mode=0o700)
    (bench.folder / "state/rotator.db").touch(mode=0o600)
    assert [item["state"] for item in seen(bench).items] == ["unknown", "unknown"]


def test_after_a_rotation_it_is_ok_with_the_keys_of_the_contract(bench: Bench) -> None:
    rotated(bench)
    (item,) = seen(bench, "one").items
    assert list(item) == STATUS_KEYS
    assert list(item["current"]) == ["key_id", "created_at", "expires_at"]
    assert list(item["next"]) == ["action", "at", "reason"]
    assert list(item["last_rotation"]) == ["id", "outcome", "finished_at"]
    assert (item["state"], item["current"]["expires_at"]) == ("ok", "2027-02-22T12:00:00Z")
    assert (item["previous"], item["previous_all"], item["error"]) == (None, [], None)


def test_in_grace_the_newest_previous_version_comes_first(bench: Bench) -> None:
    rotated(bench, "one")
    first = seen(bench, "one").items[0]["current"]["key_id"]
    bench.clock.advance(timedelta(hours=1))
    rotated(bench, "one", now=True)
    second = seen(bench, "one").items[0]["current"]["key_id"]
    bench.clock.advance(timedelta(hours=1))
    rotated(bench, "one", now=True)
    (item,) = seen(bench, "one").items
    assert item["state"] == "grace"
    assert [one["key_id"] for one in item["previous_all"]] == [second, first]
    assert item["previous"] == item["previous_all"][0]
    assert item["next"]["action"] == "retire"


def test_status_opens_neither_store_nor_issuer(bench: Bench) -> None:
    rotated(bench)
    bench.made.clear()
    for name in ("vault-token", "graph-secret"):
        (bench.folder / name).unlink()
    seen(bench)
    with bench.house() as house:
        plan(house)
        history(house, "one")
    assert bench.made == []


def test_status_imports_neither_stores_nor_provers_nor_issuers_nor_the_engine(bench: Bench) -> None:
    rotated(bench)
    script = (
        "import sys\n"
        "from rotator.app.house import House\n"
        "from rotator.app.watching import status\n"
        f"with House.open({str(bench.config)!r}, environ={{}}, argv=('rotator', 'status')) as house:\n"
        "    assert len(status(house).items) == 2\n"
        "heavy = ('hvac', 'requests', 'httpx2', 'cryptography', 'jwt', 'msgraph', 'azure', 'tenacity', 'alembic',\n"
        "         'rotator.engine', 'rotator.stores', 'rotator.provers', 'rotator.providers')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_libraries_have_nothing_to_say_on_standard_error(bench: Bench) -> None:
    script = (
        "import logging, warnings\n"
        "from rotator.app.house import House\n"
        f"with House.open({str(bench.config)!r}, environ={{}}, argv=('rotator', 'status')):\n"
        "    logging.getLogger('azure.identity').error('canary-9f2b7c')\n"
        "    warnings.warn('canary-9f2b7c')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_what_failed_is_shown_with_its_hint_and_fails_the_check(bench: Bench) -> None:
    rotated(bench)
    bench.broken["vault"] = Transient("Vault is sealed", hint="Unseal it.", code="sealed")
    rotated(bench, "one", now=True)
    found = seen(bench, check=True)
    assert found.remarks[0].message.startswith("Vault is sealed. The next attempt is made after ")
    assert found.items[0]["error"] == {"code": "sealed", "message": "Vault is sealed", "hint": "Unseal it."}
    assert found.exit_status == 1
    assert (found.remarks[0].name, found.remarks[0].hint) == ("one", "Unseal it.")
    assert seen(bench).exit_status == 0
    assert seen(bench, "two", check=True).exit_status == 0


def test_an_expired_version_fails_the_check(bench: Bench) -> None:
    rotated(bench)
    bench.clock.advance(91 * DAY)
    found = seen(bench, "one", check=True)
    assert (found.items[0]["state"], found.exit_status) == ("expired", 1)


def test_what_has_left_the_configuration_is_shown_as_unknown_with_the_way_out(bench: Bench) -> None:
    rotated(bench)
    bench.write(without=("two",))
    found = seen(bench)
    assert [(item["name"], item["state"], item["next"]) for item in found.items][1] == ("two", "unknown", None)
    assert "rotator forget two --leave" in found.remarks[0].hint
    assert seen(bench, "two").items[0]["current"]["key_id"]


def test_a_name_that_nobody_knows_is_a_fault_of_usage(bench: Bench) -> None:
    rotated(bench)
    with pytest.raises(UsageFault, match='Did you mean "two"'):
        seen(bench, "twoo")
    with bench.house() as house, pytest.raises(UsageFault):
        history(house, "three")
    with bench.house() as house, pytest.raises(UsageFault):
        plan(house, ["three"])


# ------------------------------------------------------------------------------------------------------------- plan


def test_the_plan_is_in_order_of_time_with_the_keys_of_the_contract(bench: Bench) -> None:
    rotated(bench, "two")
    bench.clock.advance(DAY)
    rotated(bench, "one")
    with bench.house() as house:
        found = plan(house)
    assert all(list(item) == PLAN_KEYS for item in found.items)
    assert [(item["name"], item["action"]) for item in found.items] == [
        ("two", "rotate"),
        ("two", "retire"),
        ("one", "rotate"),
        ("one", "retire"),
    ]
    assert found.items[0]["sentence"] == "30 d are left of 90 d"
    assert [line.name for line in found.timelines] == ["one", "two"]
    assert found.until - found.start == 90 * DAY


def test_a_plan_ends_where_it_was_asked_to(bench: Bench) -> None:
    rotated(bench)
    with bench.house() as house:
        assert plan(house, span=10 * DAY).items == ()
        assert [item["name"] for item in plan(house, ["two"]).items] == ["two", "two"]


def test_a_plan_needs_no_state(bench: Bench) -> None:
    with bench.house() as house:
        found = plan(house, span=DAY)
    assert [item["reason"] for item in found.items] == ["never_rotated", "never_rotated"]


# ---------------------------------------------------------------------------------------------------------- history


def test_the_history_tells_each_rotation_with_its_steps_the_newest_first(bench: Bench) -> None:
    rotated(bench, "one")
    bench.issuer.fate(Act.CREATE, Fate.REFUSED)
    rotated(bench, "one", now=True)
    bench.clock.advance(timedelta(hours=2))
    rotated(bench, "one", now=True)
    with bench.house() as house:
        found = history(house, "one").items
    assert [item["outcome"] for item in found] == ["promoted", "abandoned", "promoted"]
    assert found[1]["error"]["message"] == "The issuer said no."
    assert [list(step) for step in found[0]["steps"]] == [STEP_KEYS] * len(found[0]["steps"])
    assert [step["step"] for step in found[2]["steps"]] == ["create", "stage", "verify", "promote"]
    with bench.house() as house:
        assert len(history(house, "one", limit=1).items) == 1


def test_what_has_left_the_configuration_still_has_a_history(bench: Bench) -> None:
    rotated(bench)
    bench.write(without=("two",))
    with bench.house() as house:
        (item,) = history(house, "two").items
    assert item["store_path"] == "partners/two"
