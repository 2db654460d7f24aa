"""Where the program `rotator` begins: Ctrl-C ends it quietly, also while its parts are still being imported."""

from __future__ import annotations

import sys


def start() -> None:
    """Run the command line of this process and exit with its status."""
    try:
        from rotator.cli.main import main

        main()
    except KeyboardInterrupt:  # before `main` listens for it, or after it has had its last word
        sys.exit(130)
