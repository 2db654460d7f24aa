"""The three streams that a program is given, when they are not as they should be. Writes nothing itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def stand_in_for_closed_streams() -> None:
    """Give /dev/null for each standard stream that whoever started us has closed (`<&-`, `>&-`).

    Else the next file that is opened, such as the state, would be in the place of one, and be written to or read.
    """
    for number, name, how in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            there = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            if there != number:
                os.dup2(there, number)
                os.close(there)
            setattr(sys, name, open(number, how, encoding="utf-8", closefd=False))  # noqa: SIM115 for as long as we live


class NotPrinted(Exception):
    """Standard output takes nothing, and it is not that its reader has left. message: why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@contextmanager
def printing() -> Iterator[None]:
    """Tell that standard output takes nothing from faults of our own. Raises NotPrinted, or BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise NotPrinted(error.strerror or type(error).__name__) from None
