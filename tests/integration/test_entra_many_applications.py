"""Many applications at once through one provider: no request for one of them ever reaches another."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rotator.errors import Broken
from rotator.providers.entra_graph import Graph
from rotator.sandbox.directory import Directory
from rotator.sandbox.world import KONTROLLE_PROD
from tests.integration.entra_bench import DAYS, EntraBench, entra_bench

APPS = 8


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[EntraBench]:
    with entra_bench(tmp_path) as ready:
        yield ready


def applications(directory: Directory) -> list[str]:
    """Return several applications that the provider has never asked for."""
    like = directory.app(KONTROLLE_PROD)
    made = [f"{like.app_id[:-4]}{number:04d}" for number in range(5000, 5000 + APPS)]
    for app_id in made:
        directory.enrol(type(like)(app_id, f"application {app_id[-4:]}"))
    return made


def test_applications_that_are_asked_for_at_once_are_not_taken_for_each_other(bench: EntraBench) -> None:
    directory = bench.sandbox.directory
    apps = applications(directory)
    with ThreadPoolExecutor(APPS) as pool:
        issued = list(pool.map(lambda app: bench.provider.create(app, f"tag of {app}", DAYS), apps))
        listed = list(pool.map(bench.provider.list, apps))
    assert [one.client_id for one in issued] == apps
    for app, listing in zip(apps, listed, strict=True):
        truth = {(one.key_id, one.display_name) for one in directory.live(app)}
        assert {(one.key_id, one.tag) for one in listing.versions} == truth
        assert [one.display_name for one in directory.live(app)].count(f"tag of {app}") == 1


def test_an_answer_about_another_application_stops_everything(
    bench: EntraBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = bench.sandbox.directory
    other, wanted = applications(directory)[:2]
    honest = Graph.application

    async def confused(self: Graph, name: str, *select: str) -> object:
        return await honest(self, other, *select)

    monkeypatch.setattr(Graph, "application", confused)
    with pytest.raises(Broken) as refused:
        bench.provider.create(wanted, "tag", DAYS)
    assert refused.value.code == "another_application"
    assert not directory.mutations(other)[1:]
