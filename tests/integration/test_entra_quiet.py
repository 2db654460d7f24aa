"""No log, error, finding or repr carries a secret or a token, whatever the other side repeats to us."""

from __future__ import annotations

import logging
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.errors import RotatorError
from rotator.providers.entra import EntraProvider
from rotator.providers.entra_settings import ClientSecretAuth, WorkloadIdentityAuth
from rotator.sandbox.weather import Answer, Effect, Fault, Route, Weather
from rotator.sandbox.world import ROTATOR
from rotator.secret import Secret
from tests.integration.entra_bench import APP, DAYS, TAG, EntraBench, by_secret, entra_bench

CANARY = "canary~of-the-login.0123456789"


class Ear(logging.Handler):
    """Keeps all that is said, tracebacks and locals of exceptions included."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(f"{record.name} {record.getMessage()} {vars(record)}")
        if record.exc_info:
            self.heard.extend(traceback.format_exception(*record.exc_info))


@contextmanager
def listening() -> Iterator[Ear]:
    """Hear every logger there is, at DEBUG, also those that are cut off from the root."""
    ear = Ear()
    loggers: list[logging.Logger] = [logging.root]
    loggers += [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    before = [(logger, logger.level) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        if logger is logging.root or not logger.propagate:
            logger.addHandler(ear)
    try:
        yield ear
    finally:
        for logger, level in before:
            logger.setLevel(level)
            logger.removeHandler(ear)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[EntraBench]:
    with entra_bench(tmp_path / "sandbox", Weather.calm().but(echo=True)) as made:
        yield made


def told(error: BaseException) -> str:
    """Return everything of an error that a careless caller could show, whatever it hides behind included."""
    texts: list[str] = []
    while True:
        texts += [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
        behind = error.__cause__ or error.__context__
        if behind is None:
            return "\n".join(texts)
        error = behind


def attempts(bench: EntraBench, provider: EntraProvider) -> tuple[str, list[str]]:
    """Make every call, on good and on bad ground; return what was told, and the values that must not be in it."""
    issued = provider.create(APP, TAG, DAYS)
    values = list(issued.values.reveal().values())
    said = [repr(issued), repr(provider.list(APP)), repr(provider), repr(vars(provider)), repr(bench.settings)]
    answers = [Answer.CONTROL_CHARACTERS, Answer.HTML, Answer.CUT, Answer.NO_VALUE, Answer.ERROR, Answer.DUPLICATE_KEYS]
    for answer in answers:
        for status in (400, 403, 429, 503):
            for route in (Route.ADD_PASSWORD, Route.READ_APPLICATION, Route.REMOVE_PASSWORD):
                bench.sandbox.fail_next(route, Fault(answer, Effect.DONE, status), app_id=APP)
            for call in (
                lambda: provider.create(APP, TAG, DAYS),
                lambda: provider.list(APP),
                lambda: provider.retire(APP, issued.version.key_id),
            ):
                try:
                    call()
                except RotatorError as error:
                    said.append(told(error) + error.hint)
            said.append(repr(provider.check(APP, timedelta(days=9999), "x", "")))
            bench.sandbox.sky.clear()
    values += [item.text for item in bench.sandbox.directory.truth(APP)]
    return "\n".join(said), values


def test_whatever_is_repeated_to_us_nothing_of_it_is_told_or_logged(bench: EntraBench) -> None:
    provider = bench.another(auth=by_secret(bench.sandbox))
    provider.list(APP)
    with listening() as ear:
        logging.getLogger("rotator").debug("heard")
        said, values = attempts(bench, provider)
        said += "\n".join(ear.heard)
    provider.close()
    assert any("heard" in line for line in ear.heard)
    found = [value for value in (*values, bench.sandbox.files.secret) if value in said or value[:16] in said]
    assert found == []
    assert "Bearer ey" not in said and "eyJ" not in said


def test_a_login_that_is_repeated_in_the_refusal_is_not_told_or_logged(bench: EntraBench, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(bench.sandbox.identity.federated_token(APP))
    auths = (ClientSecretAuth(ROTATOR, Secret(CANARY)), WorkloadIdentityAuth(ROTATOR, token))
    with listening() as ear:
        for auth in auths:
            provider = bench.another(auth=auth)
            with pytest.raises(RotatorError) as caught:
                provider.create(APP, TAG, DAYS)
            provider.close()
            said = told(caught.value) + caught.value.hint + "\n".join(ear.heard) + repr(bench.settings)
            assert CANARY not in said and CANARY[:16] not in said
            assert token.read_text() not in said and "eyJ" not in said


def test_the_first_login_of_a_process_is_as_quiet() -> None:
    """In a process of its own: there, the libraries' loggers are made while somebody listens already."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert "login_refused" in done.stdout
    assert "canary" not in done.stdout + done.stderr


_PROGRAM = f"""
import logging, tempfile
from pathlib import Path
logging.basicConfig(level=logging.DEBUG)
from rotator.errors import RotatorError
from rotator.providers.entra_settings import ClientSecretAuth
from rotator.sandbox.weather import Weather
from rotator.secret import Secret
from tests.integration.entra_bench import entra_bench, APP, ROTATOR
with tempfile.TemporaryDirectory() as folder, entra_bench(Path(folder), Weather.calm().but(echo=True)) as bench:
    provider = bench.another(auth=ClientSecretAuth(ROTATOR, Secret({CANARY!r})))
    try:
        provider.list(APP)
    except RotatorError as error:
        print(error.code)
    provider.close()
"""
