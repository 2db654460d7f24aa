"""Writes plain data as YAML that `yaml.parse` reads back as the same data, for people to look at. It checks nothing."""

from __future__ import annotations

from typing import Any

import yaml

from rotator.app.config.yaml import parse

_WIDTH = 110


class _Dumper(yaml.SafeDumper):
    """Quotes a text that the YAML 1.2 of our files would take for a number; PyYAML writes by YAML 1.1."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    number_like = value[:1] in {*"+-.0123456789"} and parse(value).data != value
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="'" if number_like else None)


_Dumper.add_representer(str, _text)


def to_yaml(data: Any) -> str:
    """Return plain data as a YAML document, keys in their order."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text
