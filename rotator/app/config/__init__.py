"""Reads `config.yaml`: all of it or none, every fault at once, secrets by reference; it contacts nothing by itself.

`find` and `load` give a `Config`; `Resolver` fetches what its references name, at use; `show.effective` and
`show.json_schema` are for people and their editors, and imported only then.
"""

from rotator.app.config.config import Config, Verification
from rotator.app.config.faults import ConfigFaults, Fault
from rotator.app.config.loading import Loaded, find, load
from rotator.app.config.references import Reference, Resolver, Scheme

__all__ = [
    "Config",
    "ConfigFaults",
    "Fault",
    "Loaded",
    "Reference",
    "Resolver",
    "Scheme",
    "Verification",
    "find",
    "load",
]
