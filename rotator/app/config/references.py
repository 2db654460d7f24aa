"""Names secrets instead of holding them, and fetches one when it is used; it never keeps what it fetched.

env:NAME              a variable of our environment
file:PATH             a file, relative to the file that names it
cred:NAME             a systemd credential, $CREDENTIALS_DIRECTORY/NAME (systemd.exec(5), LoadCredential=)
vault:STORE/path#f    the field f of a document in a store of the configuration, read at use
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import stat
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from rotator.app.config.values import Wrong, absolute, document_field, store_path
from rotator.app.config.values import name as parse_name
from rotator.errors import Misconfigured
from rotator.finding import Finding, Severity
from rotator.secret import Secret

MAX_BYTES: Final = 64 * 1024

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z", re.ASCII)
_CRED_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z", re.ASCII)
_ALLOWED = "env:NAME, file:PATH, cred:NAME or vault:STORE/path#field"


class Scheme(StrEnum):
    """Where a secret is kept."""

    ENV = "env"
    FILE = "file"
    CRED = "cred"
    VAULT = "vault"


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """The name of a secret, never its value; safe to show.

    name: of the variable or credential, the absolute path of the file, or the path in the store. store, field: of a
    `vault:` reference. written: as it stands in the configuration, to find its place again.
    """

    scheme: Scheme
    name: str
    store: str = ""
    field: str = ""
    written: str = dataclasses.field(default="", compare=False, repr=False)

    @property
    def path(self) -> Path:
        """Return the file of a `file:` reference."""
        return Path(self.name)

    def __str__(self) -> str:
        if self.scheme is Scheme.VAULT:
            return f"vault:{self.store}/{self.name}#{self.field}"
        return f"{self.scheme}:{self.name}"


def parse_reference(found: object, base: Path) -> Reference:
    """Return the reference a text stands for; `base` is the folder of the file that says it. Raises Wrong."""
    hint = "Put the secret into one of these and name it here; if it was saved in this file, replace it at its issuer."
    literal = Wrong(f"a secret must not stand here; say where it is: {_ALLOWED}", hint)
    if not isinstance(found, str):
        raise Wrong(f"must name where the secret is: {_ALLOWED}")
    word, colon, rest = found.partition(":")
    if not colon or word not in Scheme.__members__.values():
        raise literal
    match Scheme(word):
        case Scheme.ENV:
            if not _ENV_NAME.match(rest):
                raise Wrong("not the name of an environment variable after env:")
            return Reference(Scheme.ENV, rest, written=found)
        case Scheme.CRED:
            if not _CRED_NAME.match(rest):
                raise Wrong("not the name of a systemd credential after cred:")
            return Reference(Scheme.CRED, rest, written=found)
        case Scheme.FILE:
            return Reference(Scheme.FILE, str(absolute(rest, base)), written=found)
        case Scheme.VAULT:
            return _vault_reference(found, rest)


def _vault_reference(found: str, rest: str) -> Reference:
    place, _, document = rest.partition("#")
    store, _, path = place.partition("/")
    try:
        return Reference(Scheme.VAULT, store_path(path), parse_name(store), document_field(document), written=found)
    except Wrong:
        raise Wrong("not a reference into a store; vault:STORE/path#field") from None


class Resolver:
    """Fetches what references name, anew each time. Every failure is Misconfigured (78) and says where it was named.

    vault: reads a field of a document; wiring gives it when the stores stand, and its own errors pass through.
    locate: says where a reference stands in the configuration. credentials: the names of all `cred:` references, and
    argv: the command, both for the line that would provide them.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        vault: Callable[[Reference], Secret] | None = None,
        locate: Callable[[Reference], str] | None = None,
        credentials: Iterable[str] = (),
        argv: Iterable[str] = ("rotator", "check"),
    ) -> None:
        self._environ = environ
        self._vault = vault
        self._locate = locate
        self._credentials = tuple(credentials)
        self._argv = tuple(argv)

    def resolve(self, reference: Reference) -> Secret:
        """Return the value. One newline at the end of a file is not part of it.

        Raises Misconfigured when there is none, when it is empty, longer than 64 KiB or not UTF-8.
        """
        match reference.scheme:
            case Scheme.ENV:
                return self._variable(reference)
            case Scheme.FILE:
                return self._text(reference, self._bytes(reference, reference.path))
            case Scheme.CRED:
                return self._text(reference, self._bytes(reference, self._credential_path(reference)))
            case Scheme.VAULT:
                if self._vault is None:
                    raise self._wrong(reference, "no store can be read here", "Use env:, file: or cred: instead.")
                return self._vault(reference)

    def resolve_or_create(self, reference: Reference, make: Callable[[], bytes]) -> Secret:
        """Return the value; a `file:` that does not exist is first made with what `make` returns.

        The file is private (0600, its new folders 0700), appears whole or not at all, and never replaces another: when
        two processes make it at once, both return what the first one wrote. Stopped in between, a temporary file
        beside it may stay behind, private as well.
        """
        if reference.scheme is Scheme.FILE and not os.path.lexists(reference.path):
            try:
                _create(reference.path, make())
            except OSError as error:
                message, hint = (f"cannot be made: {error.strerror}", "Make the folder writable for this user.")
                raise self._wrong(reference, message, hint) from None
        return self.resolve(reference)

    def check(self, reference: Reference, subject: str) -> Finding:
        """Look whether the value can be had, without returning it. A file that every user may read is a warning."""
        if reference.scheme is Scheme.VAULT:
            return Finding(subject, "secret", Severity.SKIP, f"{reference} is read at use")
        try:
            self.resolve(reference)
        except Misconfigured as error:
            return Finding(subject, "secret", Severity.FAIL, error.message, error.hint, error.exit_status)
        if reference.scheme is Scheme.FILE and reference.path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            hint = f"chmod o-rwx {shlex.quote(reference.name)}"
            return Finding(subject, "secret", Severity.WARN, f"{reference} is open to every user of this machine", hint)
        return Finding(subject, "secret", Severity.OK, f"{reference} can be read")

    def _variable(self, reference: Reference) -> Secret:
        value = self._environ.get(reference.name, "")
        if not value:
            state = "is empty" if reference.name in self._environ else "is not set"
            raise self._wrong(reference, f"the environment variable {state}", f"Set {reference.name}, then try again.")
        if len(value) > MAX_BYTES:
            raise self._wrong(reference, "longer than 64 KiB", "That is no secret that an issuer gives.")
        return Secret(value)

    def _credential_path(self, reference: Reference) -> Path:
        folder = self._environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            message = "systemd credentials exist only inside a unit, and $CREDENTIALS_DIRECTORY is not set"
            raise self._wrong(reference, message, f"Run it as one:\n  {self._systemd_run(reference)}")
        return Path(folder) / reference.name

    def _systemd_run(self, reference: Reference) -> str:
        """Return the line that runs this command as a transient unit with the credentials it needs."""
        names = dict.fromkeys([*self._credentials, reference.name])
        loads = [f"--property=LoadCredentialEncrypted={name}:/etc/credstore.encrypted/rotator.{name}" for name in names]
        return shlex.join(["systemd-run", "--uid=rotator", "--pipe", "--wait", "--collect", *loads, *self._argv])

    def _bytes(self, reference: Reference, path: Path) -> bytes:
        try:
            # A named pipe would keep us waiting for ever, hence O_NONBLOCK until it is known to be a file.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise self._wrong(reference, "not a regular file", "Name the file that holds the secret.")
                content = os.read(descriptor, MAX_BYTES + 1)
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as error:
            if reference.scheme is Scheme.CRED:
                hint = f"Add to the unit: LoadCredentialEncrypted={reference.name}:PATH (see systemd-creds(1))."
            else:
                hint = "Make the file, or make it readable for this user, then try again."
            reason = getattr(error, "strerror", None) or "not a path"
            raise self._wrong(reference, f"cannot be read: {reason}", hint) from None
        if len(content) > MAX_BYTES:
            raise self._wrong(reference, "longer than 64 KiB", "That is no secret that an issuer gives.")
        return content

    def _text(self, reference: Reference, content: bytes) -> Secret:
        if content.endswith(b"\n"):
            content = content[:-1].removesuffix(b"\r")
        if not content:
            raise self._wrong(reference, "the file is empty", "Write the secret into it.")
        try:
            return Secret(content.decode())
        except UnicodeDecodeError:
            # `from None`: the error carries the bytes.
            raise self._wrong(reference, "the file is not UTF-8 text", "Secrets are text; keys are PEM.") from None

    def _wrong(self, reference: Reference, message: str, hint: str) -> Misconfigured:
        place = self._locate(reference) if self._locate is not None else ""
        return Misconfigured(f"{place}{reference}: {message}.", hint=hint, code="secret_missing")


def _create(path: Path, content: bytes) -> None:
    """Write a private file that was not there; leave one that appeared in the meantime alone."""
    for folder in reversed([path.parent, *path.parent.parents]):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    # os.getpid() and random bits keep two processes apart; O_EXCL makes sure of it.
    temporary = path.parent / f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        temporary.unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
