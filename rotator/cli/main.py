"""The command `rotator`: knows the names of its commands and nothing heavier; it is the only handler of errors.

Importing this imports click and no other package, so that `rotator --help` and the Tab key are quick.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import click

from rotator import __version__
from rotator.cli.failing import explain
from rotator.cli.lazy import Entry, Group
from rotator.cli.options import talk_of
from rotator.cli.streams import stand_in_for_closed_streams
from rotator.cli.talk import Talk

SECTIONS: Final = {
    "See": {
        "status": Entry("status:status", "How each credential is doing, and what happens next."),
        "plan": Entry("plan:plan", "What will happen, when and why."),
        "check": Entry("check:check", "Would it work tonight? Changes nothing."),
        "verify": Entry("verify:verify", "Prove now that current versions work."),
        "history": Entry("history:history", "The rotations of one credential, step by step."),
        "orphans": Entry("orphans:orphans", "Versions at the issuer that no rotation knows."),
        "report": Entry("report:report", "The evidence for what auditors ask."),
    },
    "Act": {
        "rotate": Entry("rotate:rotate", "Make one full pass now, or rotate at once with --now."),
        "adopt": Entry("adopt:adopt", "Take the version in the store today under management."),
        "intake": Entry("intake:intake", "Take a secret that a vendor issued by hand."),
        "retire": Entry("retire:retire", "Retire a previous version now, after a proof."),
        "pause": Entry("holding:pause", "Stop scheduling a credential; alerts go on."),
        "resume": Entry("holding:resume", "Let a paused or parked credential go on."),
        "forget": Entry("holding:forget", "End the management of a credential."),
        "daemon": Entry("daemon:daemon", "Run the service: rotate what comes due, for as long as it runs."),
        "read": Entry("read:read", "Write one field of a consumer document to a file."),
    },
    "Keep": {
        "audit": Entry("audit:audit", "The audit log: list, show, follow, verify, export, prune, accept."),
        "db": Entry("db:db", "The state database: upgrade, current, backup, restore."),
        "config": Entry("config:config", "The configuration: show, schema."),
        "completion": Entry("completion:completion", "Print the completion script of a shell."),
    },
    "Try": {
        "sandbox": Entry("sandbox:sandbox", "Start issuers on this machine to try things against."),
        "demo": Entry("sandbox:demo", "The whole life of five credentials, in about a minute."),
    },
}

_GARBAGE: Final = 100_000
"""So many new objects before Python looks for garbage. With its own 700 a short command spends a tenth of its time on
looking through what it imports."""


class Root(Group):
    """The outermost group: whatever goes wrong below it ends here."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> NoReturn:
        """Run one command line and exit with its status."""
        argv = list(sys.argv[1:] if args is None else args)
        if args is None:
            gc.set_threshold(_GARBAGE)
        talk = Talk(argv=("rotator", *argv))
        stand_in_for_closed_streams()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError):
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]
        extra.update(prog_name="rotator", standalone_mode=False, obj=talk)
        try:
            status = super().main(argv, *rest, **extra)
            talk.flush()
        except Exception as error:  # noqa: BLE001 the last handler there is
            status = explain(talk, error)
        except KeyboardInterrupt as error:
            status = explain(talk, error)
        if args is None:
            gc.freeze()  # this process ends, and needs no last look through all that was imported
        sys.exit(status or 0)


@click.group(
    cls=Root,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with: rotator demo",
)
@click.version_option(__version__, "--version", message="rotator %(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Rotate OAuth2 client credentials: create, stage, prove, promote, retire.

    A consumer that reads the store always finds a value that works.
    """
    talk_of(ctx)


if __name__ == "__main__":
    main()
