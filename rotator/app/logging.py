"""Keeps the libraries' own words off standard error; it records nothing.

What rotator has to say it says itself. Libraries log warnings with the answers that caused them, and such an answer may
quote what was sent. Where nobody has set up logging, Python prints warnings to standard error (docs.python.org,
`logging.lastResort`); whoever has set it up, such as a test, keeps what he has.
"""

from __future__ import annotations

import logging


def keep_libraries_quiet() -> None:
    """Give log records and Python's warnings somewhere to go that is not standard error. May be called again."""
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.NullHandler())
    logging.captureWarnings(capture=True)
