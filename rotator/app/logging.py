"""Keeps the libraries' own log lines off standard error; it records nothing.

What rotator has to say it says itself. Libraries log retries and warnings with the answers that caused them, and such
an answer may quote what was sent. Python prints warnings of loggers without a handler to standard error
(docs.python.org, logging.lastResort).
"""

from __future__ import annotations

import logging
import warnings


def keep_libraries_quiet() -> None:
    """Drop every log record of the standard library's loggers, and every Python warning. Call it once, at the start."""
    root = logging.getLogger()
    root.handlers[:] = [logging.NullHandler()]
    root.setLevel(logging.CRITICAL)
    logging.raiseExceptions = False
    warnings.simplefilter("ignore")
