"""What is said about the metrics: no alert asks for one that does not exist, and the page leaves none out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from rotator.web.metrics import Condition, Figures, Watched, render

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
FIGURES = Figures(
    version="1.2.3",
    credentials=(Watched("one", "contoso", 1, 1, 1, Condition.TRUE),),
    providers=("contoso",),
    rotations={},
    steps={},
    calls={},
    orphans={},
    parked={},
    records=0,
    last_tick=None,
    reloaded=True,
)
LABELS: dict[str, set[str]] = {}
for _family in text_string_to_metric_families(render(FIGURES).decode()):
    for _sample in _family.samples:
        LABELS.setdefault(_sample.name, set()).update(_sample.labels)

RULES: list[dict[str, Any]] = yaml.safe_load((HOW_TO / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_asks_for_metrics_and_labels_that_there_are(rule: dict[str, Any]) -> None:
    asked = re.findall(r"\brotator_\w+", rule["expr"])
    assert set(asked) <= LABELS.keys()
    has = {label for name in asked for label in LABELS[name]} | {"instance", "job"}
    assert set(re.findall(r"(\w+)=~?\"", rule["expr"])) <= has
    assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= has


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_says_how_urgent_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"Rotator[A-Z]\w+", rule["alert"])
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"}


def test_a_moment_that_is_not_known_raises_no_alert() -> None:
    """0 is long ago: a comparison with the time must leave it out first."""
    for rule in RULES:
        for name in re.findall(r"\brotator_\w+timestamp_seconds", rule["expr"]):
            assert f"({name} > 0)" in rule["expr"]


def test_no_two_alerts_have_one_name() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)


def test_the_page_about_monitoring_names_every_metric_and_its_labels() -> None:
    text = (HOW_TO / "monitoring.md").read_text(encoding="utf-8")
    told: dict[str, set[str]] = {}
    for name, labels in re.findall(r"`(rotator_\w+)(?:\{(.*?)\})?`", text):
        told.setdefault(name, set()).update(filter(None, labels.split(",")))
    for name, own in LABELS.items():
        if name.endswith(("_bucket", "_sum", "_count")):
            continue
        assert name in told
        assert told[name] == own - ({"credential", "provider"} if name.startswith("rotator_credential_") else set())
    assert "rotator_rotation_step_duration_seconds" in told
