"""The sandbox's back door for tests: weather, faults and the oracle, in this process or from another one.

`Control` answers `POST /sandbox/control` for whoever holds the random token; `Remote` is its client. What either can do
is the `_ACTIONS` table, no more. Durations travel as {"seconds": n}.
"""

from __future__ import annotations

import base64
import hmac
import json
import ssl
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rotator.sandbox.directory import Directory
from rotator.sandbox.records import HeldSecret, Mutation, Seen, mutation_from, secret_from, seen_from, to_plain
from rotator.sandbox.weather import Fault, Route, Sky, Weather
from rotator.sandbox.world import SecretPolicy

HEADER = "x-sandbox-control"


class Control:
    """The server's half."""

    def __init__(self, token: str, directory: Directory, sky: Sky, stolen: Callable[[], list[bytes]]) -> None:
        self._token = token
        self._directory = directory
        self._sky = sky
        self._stolen = stolen

    async def serve(self, request: Request) -> Response:
        """Do what is asked, when the token is right; 403 otherwise, 400 for what is not in the table."""
        if not hmac.compare_digest(request.headers.get(HEADER, "").encode(), self._token.encode()):
            return JSONResponse({"error": "forbidden"}, 403)
        asked = await request.json()
        action = _ACTIONS.get(asked.pop("do", ""))
        if action is None:
            return JSONResponse({"error": "unknown action"}, 400)
        try:
            result = action(self, **asked)
        except (TypeError, ValueError, KeyError) as fault:
            return JSONResponse({"error": f"{type(fault).__name__}: {fault}"}, 400)
        return JSONResponse({"result": result})

    def _weather(self, weather: dict[str, Any]) -> None:
        self._sky.change(Weather.from_json(weather))

    def _fail_next(self, route: str, fault: dict[str, Any], times: int, app_id: str | None) -> None:
        self._sky.fail_next(Route(route), Fault.from_json(fault), times=times, app_id=app_id)

    def _clear(self) -> None:
        self._sky.clear()

    def _truth(self, app_id: str) -> list[dict[str, Any]]:
        return [to_plain(secret) for secret in self._directory.truth(app_id)]

    def _live(self, app_id: str) -> list[dict[str, Any]]:
        return [to_plain(secret) for secret in self._directory.live(app_id)]

    def _authenticates(self, app_id: str, text: str) -> bool:
        return self._directory.authenticates(app_id, text)

    def _mutations(self, app_id: str | None) -> list[dict[str, Any]]:
        return [to_plain(item) for item in self._directory.mutations(app_id)]

    def _requests(self, app_id: str | None, route: str | None) -> list[dict[str, Any]]:
        return [to_plain(item) for item in self._directory.requests(app_id, route)]

    def _thief(self) -> list[str]:
        return [base64.b64encode(item).decode() for item in self._stolen()]

    def _put(self, app_id: str, display_name: str | None, lifetime: dict[str, float]) -> dict[str, Any]:
        expires_at = self._directory.now() + timedelta(**lifetime)
        return to_plain(self._directory.put(app_id, display_name=display_name, expires_at=expires_at))

    def _remove(self, app_id: str, key_id: str) -> None:
        self._directory.remove(app_id, key_id)

    def _expire(self, app_id: str, key_id: str) -> None:
        self._directory.expire(app_id, key_id)

    def _change(self, app_id: str, changes: dict[str, Any]) -> None:
        self._directory.change(app_id, **{name: _setting(value) for name, value in changes.items()})


_ACTIONS: dict[str, Callable[..., Any]] = {
    "weather": Control._weather,
    "fail_next": Control._fail_next,
    "clear": Control._clear,
    "truth": Control._truth,
    "live": Control._live,
    "authenticates": Control._authenticates,
    "mutations": Control._mutations,
    "requests": Control._requests,
    "stolen": Control._thief,
    "put": Control._put,
    "remove": Control._remove,
    "expire": Control._expire,
    "change": Control._change,
}


class Remote:
    """The client's half: the same questions to a sandbox in another process. Raises OSError when it does not answer."""

    def __init__(self, base_url: str, ca_file: Path, token: str) -> None:
        self._url = f"{base_url}/sandbox/control"
        self._token = token
        context = ssl.create_default_context(cafile=str(ca_file))
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    @classmethod
    def of(cls, folder: Path) -> Remote:
        """Return the client for the running sandbox whose files lie in `folder`."""
        base_url, token = (folder / "control").read_text(encoding="ascii").split()
        return cls(base_url, folder / "ca.pem", token)

    def set_weather(self, weather: Weather) -> None:
        """Let the weather change."""
        self._ask("weather", weather=weather.to_json())

    def fail_next(self, route: Route, fault: Fault, *, times: int = 1, app_id: str | None = None) -> None:
        """Give the next requests this fault."""
        self._ask("fail_next", route=route, fault=fault.to_json(), times=times, app_id=app_id)

    def clear(self) -> None:
        """Forget the queued faults that nobody met."""
        self._ask("clear")

    def truth(self, app_id: str) -> list[HeldSecret]:
        """Return every secret the application ever had."""
        return [secret_from(item) for item in self._ask("truth", app_id=app_id)]

    def live(self, app_id: str) -> list[HeldSecret]:
        """Return the secrets that exist and have not expired."""
        return [secret_from(item) for item in self._ask("live", app_id=app_id)]

    def authenticates(self, app_id: str, text: str) -> bool:
        """Return whether `text` is a live secret of the application."""
        return bool(self._ask("authenticates", app_id=app_id, text=text))

    def mutations(self, app_id: str | None = None) -> list[Mutation]:
        """Return what took effect, in order."""
        return [mutation_from(item) for item in self._ask("mutations", app_id=app_id)]

    def requests(self, app_id: str | None = None, route: str | None = None) -> list[Seen]:
        """Return the requests that arrived, in order."""
        return [seen_from(item) for item in self._ask("requests", app_id=app_id, route=route)]

    def stolen(self) -> list[bytes]:
        """Return what each connection to the thief sent there."""
        return [base64.b64decode(item) for item in self._ask("stolen")]

    def put(self, app_id: str, *, display_name: str | None, lifetime: timedelta) -> HeldSecret:
        """Make a secret past all rules, as an administrator in the portal."""
        seconds = {"seconds": lifetime.total_seconds()}
        return secret_from(self._ask("put", app_id=app_id, display_name=display_name, lifetime=seconds))

    def remove(self, app_id: str, key_id: str) -> None:
        """Remove a secret, as an administrator in the portal."""
        self._ask("remove", app_id=app_id, key_id=key_id)

    def expire(self, app_id: str, key_id: str) -> None:
        """Let a secret's life end now."""
        self._ask("expire", app_id=app_id, key_id=key_id)

    def change(self, app_id: str, **changes: Any) -> None:
        """Change an application's settings, as an administrator does."""
        self._ask("change", app_id=app_id, changes={name: _plain(value) for name, value in changes.items()})

    def _ask(self, action: str, **arguments: Any) -> Any:
        body = json.dumps({"do": action, **arguments}).encode()
        headers = {HEADER: self._token, "content-type": "application/json"}
        request = urllib.request.Request(self._url, data=body, headers=headers, method="POST")
        with self._opener.open(request, timeout=10) as answer:
            return json.load(answer).get("result")


def _plain(value: Any) -> Any:
    if isinstance(value, SecretPolicy):
        fields = {
            name: _plain(getattr(value, name))
            for name in ("policy_id", "max_lifetime", "secrets_allowed", "max_certificate_lifetime")
        }
        return {"policy": fields}
    return {"seconds": value.total_seconds()} if isinstance(value, timedelta) else value


def _setting(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"seconds"}:
        return timedelta(**value)
    if isinstance(value, dict) and set(value) == {"policy"}:
        return SecretPolicy(**{name: _setting(item) for name, item in value["policy"].items()})
    return value
