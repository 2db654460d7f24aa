"""A secret is at the issuer, in the store and in memory, and nowhere else: whatever is printed, written or provoked.

Real values are looked for in all that the commands print at `-v`, in every file they leave or have in between, in their
arguments and environment, and in what the staging area keeps. Each search is shown to find what is planted.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import chain

import pytest

from rotator.sandbox.weather import Answer, Effect, Fault, Route, Weather
from tests.e2e.real_world import APPS, AUDIENCES, NAME, RealWorld, Station, world
from tests.fakes.real_leaks import Haystack, Search, Watch, files, forms

__all__ = ["world"]

pytestmark = [pytest.mark.vault, pytest.mark.slow]

HOLDERS = ("secret-id", "role-id", "graph-secret", "vault-token", "store-key", "for-a-consumer")
"""The files in which a secret is on purpose."""

OTHER = "reports"
ROUTES = (Route.TOKEN, Route.ADD_PASSWORD, Route.REMOVE_PASSWORD, Route.READ_APPLICATION)
ANSWERS = (
    Fault(Answer.ERROR, status=400),
    Fault(Answer.ERROR, status=401),
    Fault(Answer.ERROR, Effect.DONE, status=503),
    Fault(Answer.HTML, status=502),
    Fault(Answer.CONTROL_CHARACTERS),
    Fault(Answer.REDIRECT, status=307),
    Fault(Answer.ERROR_IN_200),
    Fault(Answer.CUT),
    Fault(Answer.DUPLICATE_KEYS),
)


def values(world: RealWorld, station: Station) -> dict[str, str]:
    """Return every secret that there was."""
    found = {name: (station.folder / name).read_text(encoding="utf-8").strip() for name in HOLDERS[:1] + HOLDERS[2:4]
             if (station.folder / name).exists()}  # fmt: skip
    for name in (NAME, OTHER):
        for number, held in enumerate(world.sandbox.directory.truth(APPS[name])):
            found[f"secret {number} of {name}"] = held.text
    key = station.folder / "store-key"
    return found | ({"store-key": key.read_text(encoding="utf-8").strip()} if key.exists() else {})


def left(station: Station) -> Iterator[Haystack]:
    """Yield what is printed and what is on disk."""
    yield from ((f"output {number}", text.encode()) for number, text in enumerate(station.printed))
    yield from files(station.folder, HOLDERS)


def staged(world: RealWorld) -> Iterator[Haystack]:
    """Yield every version of every document in the staging area that can be read."""
    keys = world.vault.done("LIST", f"{world.mounts.staging}/metadata/")["data"]["keys"]
    for key in keys:
        for version in world.versions(key, staging=True):
            yield f"{key} v{version.version}", repr(version.fields).encode()


def live_a_life(station: Station) -> None:
    """Run every command that there is, as chatty as can be."""
    lives: list[tuple[str, ...]] = [
        ("check",),
        ("plan",),
        ("rotate",),
        ("rotate", "--now", "--all", "--yes"),
        ("status",),
        ("status", "-o", "json"),
        ("verify", NAME, OTHER),
        ("history", NAME, "-o", "json"),
        ("orphans",),
        ("retire", NAME, "--yes"),
        ("rotate", "--now", NAME, "--emergency", "--yes"),
        ("read", NAME, "--field", "client_secret", "--to", "for-a-consumer"),
        ("audit", "list", "-o", "json"),
        ("audit", "show", "1", "-o", "json"),
        ("audit", "verify"),
        ("config", "show"),
        ("db", "backup", "copy.db"),
        ("pause", OTHER),
        ("resume", OTHER),
        ("forget", OTHER, "--retire", "--yes"),
    ]
    for command in lives:
        done = station.run(*command, "-v", HTTPX_LOG_LEVEL="trace", AZURE_LOG_LEVEL="debug", TMPDIR=str(station.folder))
        assert done.code == 0, (command, done.err)


def test_the_search_finds_a_value_in_every_form_and_place(world: RealWorld) -> None:
    station = world.station()
    (held,) = world.sandbox.directory.truth(APPS[NAME])
    search = Search({"it": held.text}, APPS[NAME])
    assert search.in_(left(station)) == set()
    for form, needle in forms(held.text, APPS[NAME]).items():
        assert len(needle) >= 16, form
        station.printed = ["before " + needle.decode("latin-1") + " after"]
        assert f"it ({form}) in output 0" in search.in_(left(station))
    station.printed = []
    (station.folder / "state").mkdir()
    for name in ("state/rotator.db", "state/rotator.db-journal", "copy.db", "local/x"):
        path = station.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\0\1" + held.text.encode() + b"\0")
        assert f"it (raw) in {name}" in search.in_(left(station))
        path.unlink()
    world.vault.done("POST", f"{world.mounts.staging}/data/x", {"data": {"value.client_secret": held.text}})
    assert "it (raw) in x v1" in search.in_(staged(world))
    with station.begin("verify", NAME, A_VARIABLE=held.text) as child, Watch(child.pid, station.folder, ()) as watch:
        child.communicate()
    assert f"it (raw) in /proc/{child.pid}/environ" in search.in_(watch.seen)
    assert Search({}).in_([("there", f"token: {world.vault.root_token}".encode())]) == {"a Vault token in there"}


@pytest.mark.parametrize("way", ["approle", "token", "embedded"])
def test_a_whole_life_leaves_no_value_anywhere(world: RealWorld, way: str) -> None:
    station = world.station(credentials=(NAME, OTHER))
    if way == "token":
        station.with_token(world.vault.token(world.mounts.policy()))
    if way == "embedded":
        station.edit("store: {use: vault}", "store: {use: local}")
    live_a_life(station)
    search = Search(values(world, station), APPS[NAME])
    found = search.in_(chain(left(station), () if way == "embedded" else staged(world)))
    assert found == set()
    shown = (station.folder / "for-a-consumer").read_text(encoding="utf-8")
    assert world.sandbox.directory.authenticates(APPS[NAME], shown), "and yet the right value was there all the time"
    assert shown in values(world, station).values()
    assert (station.folder / "copy.db").stat().st_size > 4096


def test_what_is_provoked_from_issuers_that_repeat_what_they_were_sent_shows_no_value(world: RealWorld) -> None:
    station = world.station(credentials=(NAME, OTHER))
    station.edit("deadline: 20s", "deadline: 3s")
    url = world.sandbox.screening_token_url  # its errors are short, so that what it repeats is not cut off
    station.edit(
        AUDIENCES[OTHER], f"token_url: {url}, client_auth: client_secret_basic, expect: {{signature: unverified}}"
    )
    station.done("rotate", NAME, "-v")
    world.sandbox.set_weather(Weather.calm().but(echo=True, strange_json=True))
    for number, fault in enumerate(ANSWERS):
        for route in (ROUTES[number % len(ROUTES)], ROUTES[(number + 1) % len(ROUTES)]):
            world.sandbox.fail_next(route, fault)
        station.run("resume", NAME)
        station.run("rotate", "--now", NAME, "-v")
        world.sandbox.sky.clear()
    assert station.run("rotate", OTHER, "-v").code == 1
    for held in world.sandbox.directory.live(APPS[NAME]):
        world.sandbox.directory.expire(APPS[NAME], held.key_id)
    for command in (["verify", NAME], ["check"], ["status"], ["audit", "list", "-o", "json"], ["history", NAME]):
        station.run(*command, "-v")
    printed = "".join(station.printed)
    assert "AADSTS" in printed
    assert f"You sent: {APPS[OTHER]}:<secret>" in printed, "it was repeated to us, and the value taken out"
    assert Search(values(world, station), APPS[NAME]).in_(left(station)) == set()
    assert world.sandbox.stolen() == []


def test_what_vault_refuses_shows_no_value(world: RealWorld) -> None:
    station = world.station()
    station.done("rotate", "-v")
    policy = world.mounts.policy()
    for allowed in (policy.replace('"create", "read", "update"]', '"read"]', 1), "", policy):
        world.grant(allowed)
        station.run("resume", NAME, "-v")
        station.run("rotate", "--now", NAME, "-v")
        station.run("check", "-v")
    world.put({**world.document(), "client_secret": "an edit of somebody else", "key_id": "by-hand"})
    assert station.run("rotate", "--now", NAME, "-v").code == 1
    search = Search(values(world, station), APPS[NAME])
    assert search.in_(left(station)) == set()


def test_nobody_can_see_a_value_while_a_rotation_runs(world: RealWorld) -> None:
    station = world.station()
    station.done("rotate")
    world.sandbox.directory.change(APPS[NAME], fresh_lag=timedelta(seconds=3))
    with (
        station.begin("rotate", "--now", NAME, "-v", TMPDIR=str(station.folder)) as child,
        Watch(child.pid, station.folder, HOLDERS) as watch,
    ):
        station.printed += child.communicate()
    assert child.returncode == 0
    assert watch.looks > 20
    seen = {where for where, _ in watch.seen}
    assert {f"/proc/{child.pid}/cmdline", f"/proc/{child.pid}/environ", "state/rotator.db"} <= seen
    assert Search(values(world, station), APPS[NAME]).in_(chain(watch.seen, left(station), staged(world))) == set()
