"""Shows five credentials through their life against issuers on this machine, and checks all that it claims.

It has no code of its own for rotating: configuration, use cases, engine, store, state and token requests are those of
`rotator rotate`. Only the durations are short, and they are configuration. Every figure it prints was measured.
"""

from __future__ import annotations

import os
import shlex
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from rotator.app.auditing import Filter, audit_list, audit_verify
from rotator.app.house import House, Use
from rotator.app.intake import Given, intake
from rotator.app.results import Item, Rotated
from rotator.app.rotating import Wish, rotate
from rotator.app.watching import status as status_of
from rotator.clock import SystemClock
from rotator.kit import Interrupted
from rotator.model import Credential
from rotator.ports import Documents
from rotator.sandbox.demo_consumers import Consumers
from rotator.sandbox.demo_screen import Screen
from rotator.sandbox.demo_truth import Claim, audit_tells_all, consumers_never_failed, issuers_books, no_value_in
from rotator.sandbox.files import NETWRIX_CLIENT, SCREENING_CLIENT, Pace, Scene, render_config
from rotator.sandbox.server import Sandbox
from rotator.sandbox.tls import write_private
from rotator.sandbox.typed import program
from rotator.sandbox.vendor import BY_A_PERSON, Vendor
from rotator.sandbox.weather import Route, Weather
from rotator.secret import Fields, Secret
from rotator.timing import spell

KONTROLLE, REPORTS, FIELDOPS = "kontrolle-plus-prod", "site-reports-prod", "fieldops-prod"
SCREENING, NETWRIX = "screening-eagle-prod", "netwrix-prod"
STORE = "local"
BY_HAND = 1  # the version of each document that the person wrote
PACE = Pace(grace="5s", quarantine="2s", spacing="1s", deadline="40s")
STOPPED = 130

_PARTNERS = ((SCREENING, Vendor.SCREENING_EAGLE, SCREENING_CLIENT), (NETWRIX, Vendor.NETWRIX, NETWRIX_CLIENT))

_EXPECTED = (
    (KONTROLLE, "a calm life: rotated twice, the first version retired after its grace"),
    (REPORTS, "its issuer refuses a fresh secret for some seconds"),
    (FIELDOPS, "its token lacks a role, so the new secret must not be promoted"),
    (SCREENING, "a vendor with an admin API, which the configuration describes"),
    (NETWRIX, "a vendor without one: a person makes the secret, and rotator takes it"),
)


def run(
    say: Callable[[str], None],
    *,
    columns: int | None = None,
    passing: Callable[[str], None] = lambda text: None,
    stop: threading.Event | None = None,
) -> int:
    """Run the demo; return 0 when all that it claims was measured to be so, else 1, or 130 when `stop` was set.

    say: prints a line. columns: how wide a terminal is, None for none. passing: shows a line at the bottom until the
    next one. Raises what the use cases raise when the machine does not let them work at all.
    """
    stop = stop or threading.Event()
    clock = SystemClock()
    screen = Screen(say, passing, columns, clock)
    folder = Path(tempfile.mkdtemp(prefix="rotator-demo-"))
    _introduce(screen)
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox.start(folder, weather=Weather.calm(), clock=clock))
        config = folder / "config.yaml"
        write_private(config, render_config(port=sandbox.port, scene=Scene.DEMO, pace=PACE).encode())
        argv = ("rotator", "demo")
        house = stack.enter_context(House.open(str(config), environ=os.environ, argv=argv, stop=stop, progress=screen))
        play = _Play(screen, house, sandbox, folder, stop, [])
        try:
            play.act()
        except Interrupted:
            screen.words(f"Stopped. What was done until then lies in {folder}.")
            return STOPPED
    status = play.verdict()
    _where_next(screen, folder)
    return status


def _introduce(screen: Screen) -> None:
    screen.words("Five credentials, with issuers that live on this machine only. It takes less than a minute.")
    screen.line()
    for name, text in _EXPECTED:
        screen.beside(f"  {name}", text, indent=24)
    screen.line()
    screen.words(
        "A person put a secret of the first four into the store before rotator came. Consumers of the first three read "
        "the store and ask for tokens with what they find, from now on until the end."
    )


@dataclass(frozen=True, slots=True)
class _Play:
    """The demo while it runs. claims: what was said so far, and whether it was so."""

    screen: Screen
    house: House
    sandbox: Sandbox
    folder: Path
    stop: threading.Event
    claims: list[Claim]

    def act(self) -> None:
        """Play all parts."""
        credentials = tuple(one for one in self.house.chosen((), everything=True) if one.kind == "entra")
        self._put_by_hand(credentials)
        documents = self.house.store(STORE, Use.LOOK).consumers
        with Consumers(
            credentials,
            documents,
            token_url=self.sandbox.token_url,
            ca_file=self.sandbox.ca_file,
            clock=self.house.clock,
            heard=self.screen.hear_consumers,
        ) as consumers:
            self._rotate_all()
            self._take_in()
            self._rotate_again()
            self._retire()
        self.screen.heading("What is so now, seen from outside: at the issuers, in the files, in the audit")
        self._claim(*consumers_never_failed(consumers))
        self._claim(*issuers_books(credentials, documents, self.sandbox.directory))
        self._claim(*self._partners(documents))
        self._claim(no_value_in(sorted(self.folder.glob("rotator.db*")), self._values(credentials)))
        self._audit(credentials)
        self._status()

    def verdict(self) -> int:
        """Say how many claims held, and return the exit status."""
        wrong = [claim for claim in self.claims if not claim.holds]
        seconds = f"{self.screen.seconds():.0f} s"
        self.screen.line()
        if not wrong:
            self.screen.words(f"All {len(self.claims)} claims hold; it took {seconds}.")
            return 0
        self.screen.words(f"{len(wrong)} of {len(self.claims)} claims do NOT hold; it took {seconds}:")
        for claim in wrong:
            self.screen.beside("  ✗", claim.sentence, indent=4)
        return 1

    # The parts

    def _put_by_hand(self, credentials: Sequence[Credential]) -> None:
        """Put into the store what a person made in the portal, as it is before rotator comes."""
        documents = self.house.store(STORE, Use.CHANGE).consumers
        for credential in credentials:
            made = self.sandbox.directory.live(credential.application)[0]
            fields = Fields({"client_id": credential.application, "client_secret": made.text})
            documents.write(credential.path, fields, 0)
        (partner,) = self.house.chosen((SCREENING,))
        made_there = self.sandbox.vendors.issue(Vendor.SCREENING_EAGLE, SCREENING_CLIENT, timedelta(days=60))
        documents.write(partner.path, Fields({"client_id": SCREENING_CLIENT, "client_secret": made_there}), 0)

    def _rotate_all(self) -> None:
        self._type("rotate")
        rotated = self._rotate(Wish())
        self._outcome(rotated, KONTROLLE, "promoted")
        self._outcome(rotated, REPORTS, "promoted")
        self._outcome(rotated, SCREENING, "promoted")
        self._refused_for_a_while()
        self._abandoned(rotated)

    def _take_in(self) -> None:
        """Be the person who makes a secret in the console, and give it."""
        made = self.sandbox.vendors.issue(Vendor.NETWRIX, NETWRIX_CLIENT)
        self._type(f"intake {NETWRIX}")
        self._outcome(intake(self.house, NETWRIX, Given(Secret(made))), NETWRIX, "promoted")

    def _rotate_again(self) -> None:
        self._type(f"rotate --now {KONTROLLE} --reason 'a second one'")
        self._outcome(self._rotate(Wish(names=(KONTROLLE,), now=True, note="a second one")), KONTROLLE, "promoted")

    def _retire(self) -> None:
        """Wait until the first version's grace is over, then make the pass that retires it."""
        found = self._item(status_of(self.house, [KONTROLLE]).items, KONTROLLE)["previous"]
        previous = found if isinstance(found, dict) else {}
        live = {one.key_id for one in self.sandbox.directory.live(self._application(KONTROLLE))}
        said = f"{KONTROLLE}: the first version is in grace, and its issuer still takes it"
        self._claim(Claim(said, holds=previous.get("key_id") in live))
        after = previous.get("retire_after")
        if isinstance(after, str):
            left = datetime.fromisoformat(after) - self.house.clock.now() + timedelta(seconds=1)
            self.screen.pass_by(f"waiting until the grace of {KONTROLLE} is over")
            if self.house.clock.wait(left, self.stop):
                raise Interrupted
        self._type(f"rotate {KONTROLLE}")
        self._outcome(self._rotate(Wish(names=(KONTROLLE,))), KONTROLLE, "retired")

    def _refused_for_a_while(self) -> None:
        """Ask the issuer's own log how often it refused the fresh secret while it spread it."""
        application = self._application(REPORTS)
        made = [one for one in self.sandbox.directory.truth(application) if one.created_by != "portal"]
        refused = [one for one in self.sandbox.directory.requests(application, Route.TOKEN) if one.status == 401]
        lag = max(made[0].known_at) - made[0].created_at if made else timedelta(0)
        # One of them is the wrong secret, with which the endpoint was tried before.
        late = [one for one in refused if made and one.at > made[0].created_at]
        said = f"{REPORTS}: refused {len(late)} times in the {spell(lag)} that its issuer needed for it"
        self._claim(Claim(said, holds=bool(late) and lag > timedelta(0)))

    def _abandoned(self, rotated: Rotated) -> None:
        """Its message must name the claim, what was expected of it, and what was found."""
        item = self._item(rotated.items, FIELDOPS)
        error = item["error"] if isinstance(item["error"], dict) else {}
        message = str(error.get("message"))
        named = all(word in message for word in ("role", "FieldOps.Write", "FieldOps.Read"))
        outcome = item["outcome"] == "abandoned" and error.get("code") == "missing_role"
        document = self.house.store(STORE, Use.LOOK).consumers.read(self.house.chosen((FIELDOPS,))[0].path)
        said = f"{FIELDOPS}: {item['outcome']} ({error.get('code')}); consumers read what they read before"
        self._claim(Claim(said, holds=outcome and named and document.version == BY_HAND))

    def _partners(self, documents: Documents) -> Iterator[Claim]:
        """Ask the vendors' books whether consumers read what is live there, and nothing else of ours is."""
        for name, vendor, client in _PARTNERS:
            (credential,) = self.house.chosen((name,))
            fields = documents.read(credential.path).fields
            shown = fields.secret("client_secret") if fields is not None else None
            held = self.sandbox.vendors.held(vendor, client) or ()
            read = [one for one in held if shown is not None and Secret(one.text).matches(shown)]
            unknown = [one for one in held if one not in read and one.label != BY_A_PERSON]
            persons = len(held) - len(read) - len(unknown)
            in_use = f"{len(read)} in use" + (" (made by hand)" if read and read[0].label == BY_A_PERSON else "")
            others = f"{persons} made by hand, " if persons else ""
            said = f"{len(held)} live: {in_use}, {others}{len(unknown)} unknown"
            yield Claim(f"{name}: {said}", holds=len(read) == 1 and not unknown)

    def _values(self, credentials: Sequence[Credential]) -> list[str]:
        """Return every value that any issuer ever gave out."""
        directory, vendors = self.sandbox.directory, self.sandbox.vendors
        given = [one.text for credential in credentials for one in directory.truth(credential.application)]
        return given + [one.text for _, vendor, client in _PARTNERS for one in vendors.held(vendor, client) or ()]

    def _audit(self, credentials: Sequence[Credential]) -> None:
        records = audit_list(self.house, Filter()).items
        chain = audit_verify(self.house)
        whole = chain.exit_status == 0 and chain.broken is None and chain.last == len(records) > 0
        said = chain.broken or f"verified, records {chain.first} to {chain.last}, head {chain.head[:12]}…"
        self._claim(Claim(f"audit: {said}", holds=whole))
        held = self.sandbox.vendors.held(Vendor.SCREENING_EAGLE, SCREENING_CLIENT) or ()
        there = {("add", one.key_id) for one in held if one.label != BY_A_PERSON}
        told = audit_tells_all(records, credentials, self.sandbox.directory, there)
        self._claim(Claim(f"audit: {told.sentence}", holds=told.holds))

    def _status(self) -> None:
        self._type("status")
        for line in _status_lines(status_of(self.house).items, self.house.clock.now()):
            self.screen.line(line)

    # What they share

    def _type(self, words: str) -> None:
        self.screen.heading(f"$ rotator {words}")

    def _rotate(self, wish: Wish) -> Rotated:
        rotated = rotate(self.house, wish)
        if self.stop.is_set():
            raise Interrupted
        return rotated

    def _outcome(self, rotated: Rotated, name: str, expected: str) -> None:
        item = self._item(rotated.items, name)
        found = item["outcome"]
        said = {
            "promoted": f"promoted; consumers read {item['store_path']} v{item['store_version']}",
            "retired": "the version before the current one is retired",
        }.get(str(found), f"{found}, which it should not be")
        self._claim(Claim(f"{name}: {said}", holds=found == expected))

    def _claim(self, *claims: Claim) -> None:
        for claim in claims:
            self.claims.append(claim)
            self.screen.beside("✓" if claim.holds else "✗", claim.sentence, indent=2)

    def _item(self, items: Sequence[Item], name: str) -> Item:
        return next(item for item in items if item["name"] == name)

    def _application(self, name: str) -> str:
        return self.house.chosen((name,))[0].application


def _status_lines(items: Sequence[Item], now: datetime) -> Iterator[str]:
    rows = [("NAME", "STATE", "EXPIRES", "NEXT")]
    for item in items:
        current, due = item["current"], item["next"]
        expires = _distance(current.get("expires_at"), now) if isinstance(current, dict) else "-"
        then = f"{due['action']} {_distance(due['at'], now)}" if isinstance(due, dict) else "-"
        rows.append((str(item["name"]), str(item["state"]), expires, then))
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _distance(moment: object, now: datetime) -> str:
    if not isinstance(moment, str):
        return "-"
    span = datetime.fromisoformat(moment) - now
    return f"in {spell(span)}" if span > timedelta(0) else "now"


def _where_next(screen: Screen, folder: Path) -> None:
    typed = program()
    screen.heading("Where to look next")
    screen.line(f"  export ROTATOR_CONFIG={shlex.quote(str(folder / 'config.yaml'))}")
    screen.line(f"  {typed} history {KONTROLLE}")
    screen.line(f"  {typed} history {FIELDOPS}")
    screen.line(f"  {typed} audit list")
    screen.line(f"  rm -r {shlex.quote(str(folder))}   # all that the demo has left")
    screen.words("By hand, with issuers that stay: docs/quickstart.md", indent=2)
    screen.words("With a real tenant and a real Vault: docs/how-to/entra.md, docs/how-to/vault.md", indent=2)
