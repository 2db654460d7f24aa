"""`rotator daemon`: the service. It opens and ends it; what it does is said by `app.daemon`."""

from __future__ import annotations

import sys
import threading

import click

from rotator.cli.failing import let_go_of
from rotator.cli.lazy import Command
from rotator.cli.opening import opened
from rotator.cli.options import talk_of


@click.command(cls=Command)
@click.option("--once", is_flag=True, help="Make one full pass and end, for cron.")
@click.pass_context
def daemon(ctx: click.Context, once: bool) -> int:
    """Run the service: rotate what comes due, for as long as it runs.

    systemd starts it. SIGHUP reads the configuration again; SIGTERM ends it after the step in hand. What it does is
    logged on standard error: plain on a terminal, else one JSON object a line.
    """
    if once:
        from rotator.cli.rotate import one_pass

        return one_pass(ctx, leave_metrics=True)
    from rotator.app.companions import companions
    from rotator.app.daemon import serve
    from rotator.app.logging import speaker
    from rotator.app.notify_socket import own
    from rotator.app.servicelog import ServiceLog

    talk = talk_of(ctx)
    with opened(talk, stop=threading.Event()) as house:
        log = ServiceLog(speaker(sys.stderr, house.clock, plain=sys.stderr.isatty()))
        try:
            return serve(house, log, own(talk.environ), companions)
        finally:
            let_go_of(sys.stderr)
