"""Which path is answered by which rule; the table of the sandbox's whole surface."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Path

from rotator.sandbox.console import Console
from rotator.sandbox.control import Control
from rotator.sandbox.directory import Directory
from rotator.sandbox.exchange import Call, Reply
from rotator.sandbox.gate import Endpoint, Gate, IssuersDate
from rotator.sandbox.graph import Graph
from rotator.sandbox.graph_keys import GraphOfKeys
from rotator.sandbox.tokens import TokenEndpoint
from rotator.sandbox.vendor import Vendors
from rotator.sandbox.weather import Route

Handler = Callable[[Call], Reply]


def application(
    gate: Gate,
    directory: Directory,
    tokens: TokenEndpoint,
    graph: GraphOfKeys,
    vendors: Vendors,
    console: Console,
    control: Control,
) -> Starlette:
    """Return the ASGI application of one sandbox."""
    return Starlette(
        routes=[
            *_entra(gate, tokens),
            *_graph(gate, graph),
            *_vendors(gate, vendors),
            *_console(gate, console),
            Path("/sandbox/control", control.serve, methods=["POST"]),
        ],
        # A page in a browser that resolves its own name to 127.0.0.1 gets nothing (DNS rebinding).
        middleware=[
            Middleware(IssuersDate, directory=directory),
            Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"]),
        ],
        exception_handlers={404: partial(_not_found, graph), 405: partial(_not_found, graph)},
    )


def _entra(gate: Gate, tokens: TokenEndpoint) -> list[Path]:
    def path(pattern: str, method: str, route: Route, handler: Handler) -> Path:
        return Path(pattern, gate.open(Endpoint(route, handler, tokens.error)), methods=[method])

    return [
        path("/{tenant}/oauth2/v2.0/token", "POST", Route.TOKEN, tokens.token),
        path("/{tenant}/v2.0/.well-known/openid-configuration", "GET", Route.METADATA, tokens.metadata),
        path("/common/discovery/instance", "GET", Route.METADATA, tokens.instance_discovery),
        path("/{tenant}/discovery/v2.0/keys", "GET", Route.KEYS, tokens.keys),
        path("/msi/token", "GET", Route.MANAGED_IDENTITY, tokens.managed_identity),
        path("/metadata/identity/oauth2/token", "GET", Route.MANAGED_IDENTITY, tokens.managed_identity),
    ]


def _graph(gate: Gate, graph: GraphOfKeys) -> list[Path]:
    def path(pattern: str, method: str, route: Route, handler: Handler) -> Path:
        endpoint = Endpoint(route, handler, graph.error, graph.concurrency_violation)
        return Path(f"/v1.0{pattern}", gate.open(endpoint), methods=[method])

    found = [
        path("/applications", "GET", Route.READ_APPLICATION, graph.applications),
        path("/servicePrincipals", "GET", Route.PRINCIPAL, graph.principals),
        path("/servicePrincipals(appId='{app_id}')", "GET", Route.PRINCIPAL, graph.principal),
        path("/servicePrincipals/{id}", "GET", Route.PRINCIPAL, graph.principal),
        path("/policies/defaultAppManagementPolicy", "GET", Route.POLICY, graph.default_policy),
    ]
    report = Endpoint(Route.SIGN_INS, graph.sign_ins, graph.error, graph.concurrency_violation)
    found.append(Path("/beta/reports/appCredentialSignInActivities", gate.open(report), methods=["GET"]))
    for base in ("/applications(appId='{app_id}')", "/applications/{id}"):
        found += [
            path(base, "GET", Route.READ_APPLICATION, graph.application),
            path(f"{base}/owners", "GET", Route.OWNERS, graph.owners),
            path(f"{base}/appManagementPolicies", "GET", Route.POLICY, graph.policies),
            path(base, "PATCH", Route.UPDATE_APPLICATION, graph.update),
            path(f"{base}/federatedIdentityCredentials", "GET", Route.FEDERATED, graph.federated),
            path(f"{base}/addKey", "POST", Route.ADD_KEY, graph.add_key),
            path(f"{base}/removeKey", "POST", Route.REMOVE_KEY, graph.remove_key),
            path(f"{base}/addPassword", "POST", Route.ADD_PASSWORD, graph.add_password),
            path(f"{base}/removePassword", "POST", Route.REMOVE_PASSWORD, graph.remove_password),
        ]
    return found


def _vendors(gate: Gate, vendors: Vendors) -> list[Path]:
    screening = Endpoint(Route.VENDOR_TOKEN, vendors.screening_token, vendors.screening_error)
    netwrix = Endpoint(Route.VENDOR_TOKEN, vendors.netwrix_token, vendors.netwrix_error)
    return [
        Path("/api/id/v1/auth/token", gate.open(screening), methods=["POST"]),
        Path("/api/v1/token", gate.open(netwrix), methods=["POST"]),
    ]


def _console(gate: Gate, console: Console) -> list[Path]:
    base = "/console/v1/clients/{id}/credentials"

    def path(pattern: str, method: str, route: Route, handler: Handler) -> Path:
        return Path(pattern, gate.open(Endpoint(route, handler, console.error)), methods=[method])

    return [
        path(base, "POST", Route.CONSOLE_CREATE, console.create),
        path(base, "GET", Route.CONSOLE_LIST, console.list),
        path(f"{base}/{{key_id}}", "DELETE", Route.CONSOLE_REMOVE, console.remove),
    ]


async def _not_found(graph: Graph, request: Request, exc: Exception) -> Response:
    """Answer for a path that the sandbox does not have, in Graph's words: that is who is asked most."""
    status = getattr(exc, "status_code", 404)
    reply = graph.error(status, "BadRequest", f"Resource not found for the segment '{request.url.path}'.")
    return JSONResponse(reply.body, status, dict(reply.headers))
