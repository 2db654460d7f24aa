"""Shows a rotation while it goes on: a live table on a terminal, plain lines elsewhere, nothing with -q."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from rotator.cli.talk import Talk

if TYPE_CHECKING:
    from rotator.app.house import House
    from rotator.model import Credential
    from rotator.ports import Progress

T = TypeVar("T")


class Hearing:
    """Stands where the program expects a `Progress`, until it is known how to show it."""

    def __init__(self) -> None:
        self.told: Progress | None = None

    def __call__(self, credential: Credential, step: str, state: str, text: str) -> None:
        """Pass it on, if somebody listens."""
        if self.told is not None:
            self.told(credential, step, state, text)


def followed(talk: Talk, house: House, hearing: Hearing, names: Sequence[str], heading: str, act: Callable[[], T]) -> T:
    """Do `act` and show meanwhile what `hearing` hears; return what it returns."""
    page = talk.err
    if talk.quiet:
        return act()
    if not page.terminal or talk.environ.get("TERM", "dumb") == "dumb":
        from rotator.cli.progress import PlainProgress

        hearing.told = PlainProgress(page, house.clock, wordy=talk.verbose)
        return act()
    from rotator.cli.live import LiveProgress

    with LiveProgress(page, house.clock, list(names), heading) as live:
        hearing.told = live
        return act()
