"""The least that a rotation can be: a script that makes only the needed calls, and keeps nothing, proves nothing else.

List the application, prove the secret in use once, make a new one, prove that three times, each on a fresh connection:
no ledger, no store, no audit record, no signature, no recovery. What rotator takes beyond it is the price of those.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx2

from benchmarks.issuer import AUDIENCE, app_id

PROOFS: Final = 3


class Script:
    """secrets: those in use, by application."""

    def __init__(self, facts: Mapping[str, Any], at_once: int) -> None:
        self._facts = facts
        self._turns = asyncio.Semaphore(at_once)
        self._trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._trust.load_verify_locations(cafile=Path(facts["folder"]) / "ca.pem")
        self._graph = httpx2.AsyncClient(verify=self._trust, trust_env=False, base_url=f"{facts['url']}/v1.0/")
        self._secrets: dict[str, str] = {}

    async def log_in(self) -> None:
        """Get a token for Graph, once."""
        secret = (Path(self._facts["folder"]) / "graph-secret").read_text(encoding="ascii").strip()
        token = await self._token(self._facts["rotator"], secret, f"{self._facts['url']}/.default")
        self._graph.headers["Authorization"] = f"Bearer {token}"

    async def rotate(self, app: str) -> None:
        """Rotate one application. The first time there is nothing yet to be proved."""
        async with self._turns:
            found = (await self._graph.get(f"applications(appId='{app}')?$select=id,appId,passwordCredentials")).json()
            if app in self._secrets:
                await self._token(app, self._secrets[app], f"{AUDIENCE}/.default")
            wish = {"passwordCredential": {"displayName": "raw", "endDateTime": "2027-01-01T00:00:00Z"}}
            made = await self._graph.post(f"applications/{found['id']}/addPassword", json=wish)
            secret = made.raise_for_status().json()["secretText"]
            for _ in range(PROOFS):
                await self._token(app, secret, f"{AUDIENCE}/.default")
            self._secrets[app] = secret

    async def _token(self, client: str, secret: str, scope: str) -> str:
        form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret, "scope": scope}
        async with httpx2.AsyncClient(verify=self._trust, trust_env=False) as fresh:
            answer = await fresh.post(f"{self._facts['url']}/{self._facts['tenant']}/oauth2/v2.0/token", data=form)
        return str(answer.raise_for_status().json()["access_token"])


async def main(facts: Mapping[str, Any], apps: int, at_once: int) -> None:
    """Rotate every application once for the secrets to begin with, then once more, and print how long that took."""
    script = Script(facts, at_once)
    await script.log_in()
    names = [app_id(number) for number in range(apps)]
    await asyncio.gather(*map(script.rotate, names))
    started = time.perf_counter()
    await asyncio.gather(*map(script.rotate, names))
    print(json.dumps({"took": time.perf_counter() - started}))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
