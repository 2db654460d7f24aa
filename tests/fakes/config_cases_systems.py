"""Faulty files and what must be said of them: the file itself, its state, its stores and its providers."""

# ruff: noqa: E501  the sentences stand here as they are shown

from __future__ import annotations

from rotator.event import EventName
from tests.fakes.config_files import NOT_A_DURATION, PROVIDERS, STORES, document, store

EVENTS = ", ".join(one.value for one in EventName)

SYSTEMS: dict[str, tuple[str, list[str]]] = {
    # what signs certificates
    "a program by its name alone": (
        document(
            providers=PROVIDERS.replace("    tenant:", "    sign_with: {command: §[sign-client]}\n    tenant:", 1)
        ),
        ["providers.contoso.sign_with.command: must name the program by its absolute path"],
    ),
    "a program that may sign for longer than a claim lasts": (
        document(
            providers=PROVIDERS.replace("    tenant:", "    sign_with: {command: [/x], timeout: §5m}\n    tenant:", 1)
        ),
        [
            "providers.contoso.sign_with.timeout: must be 60s at most\n  A rotation stands still meanwhile, and after two minutes another takes over."
        ],
    ),
    # the file
    "no version": ("§include: []\n", [": `version` is missing"]),
    "another version": (document(version="version: §2\n"), ["version: must be 1"]),
    "version as text": (document(version='version: §"1"\n'), ["version: must be 1"]),
    "version true": (document(version="version: §true\n"), ["version: must be 1"]),
    "unknown key": (
        document("§stats: {}"),
        [
            (
                'unknown key "stats". Did you mean "state"?\n  Allowed: version, include, state, stores, providers, '
                "defaults, credentials, service, audit, notifications."
            )
        ],
    ),
    "keys that do not look like keys": (
        document("§'a b': 1", "service: {§x: null}"),
        [
            (
                "an unknown key\n  Allowed: version, include, state, stores, providers, defaults, credentials, service, "
                "audit, notifications."
            ),
            "service: an unknown key\n  Allowed: listen, tick, concurrency, jitter.",
        ],
    ),
    "not a list": (document(credentials="credentials: §{a: b}\n"), ["credentials: must be a list"]),
    "not a mapping": (document("service: §[]"), ["service: must be a mapping"]),
    "a credential that is text": (
        document(credentials="credentials: [§text]\n"),
        ["credentials[0]: must be a mapping"],
    ),
    "include that is text": (document("include: §a.yaml"), ["include: must be a list"]),
    # state, service, audit
    "postgres": (
        document("state: {url: §'postgresql+psycopg://h/d'}"),
        ["state.url: PostgreSQL comes with a later release; use sqlite:////absolute/path or sqlite:///relative/path"],
    ),
    "sqlite in memory": (
        document("state: {url: §'sqlite://'}"),
        ["state.url: must be sqlite:////absolute/path or sqlite:///relative/path"],
    ),
    "a copy of the record over the state": (
        document("state: {url: 'sqlite:///a/rotator.db'}", "audit: {mirror: [syslog, §'file:./a/x/../rotator.db']}"),
        [
            (
                "audit.mirror[1]: is the state itself, or lies beside it under its name\n"
                "  Name a file of its own, such as audit.jsonl."
            )
        ],
    ),
    "secrets in stores that are not there": (
        document(
            "audit: {signing_key: §'vault:vaul/keys#audit'}",
            "notifications:",
            "- {kind: webhook, url: 'https://o.example', secret: §'vault:nowhere/keys#hook', events: [rotation.parked]}",
        ),
        [
            (
                'audit.signing_key: no store is called "vaul". Did you mean "vault"?\n'
                "  Name one that stands under `stores`, or use env:, file: or cred:."
            ),
            (
                'notifications[0].secret: no store is called "nowhere".\n'
                "  Name one that stands under `stores`, or use env:, file: or cred:."
            ),
        ],
    ),
    "mode": (document("state: {mode: §passive}"), ["state.mode: must be one of active, observe"]),
    "listen": (
        document("service: {listen: §'0.0.0.0:80'}"),
        [
            (
                "service.listen: must be loopback or a Unix socket\n"
                "  To reach it from elsewhere put a proxy with TLS in front of it."
            )
        ],
    ),
    "numbers": (
        document("service: {concurrency: §yes, tick: §0s, jitter: §5}"),
        [
            "service.concurrency: must be a whole number",
            "service.tick: must be longer than 0s",
            f"service.jitter: {NOT_A_DURATION}",
        ],
    ),
    "notifications": (
        document(
            "notifications:",
            "- §{kind: email, smtp: 'smtps://mail.example.com', events: [rotation.parked]}",
            "- {kind: webhook, url: §'http://ops.example.com/hook', format: §slack, events: §[rotation.stopped]}",
            "- {kind: exec, command: §[on-rotate, x], events: §[], timeout: §0s}",
            "- {kind: exec, command: [/bin/x], events: §[notification.sent], §shell: true}",
            "- {kind: §pigeon}",
        ),
        [
            "notifications[0]: kind `email` comes with a later release",
            "notifications[1].url: must be https; http only for this machine (localhost, 127.0.0.1, ::1)",
            "notifications[1].format: `slack` comes with a later release",
            f"notifications[1].events: names what is no event\n  Allowed: {EVENTS}.",
            "notifications[2].command: must name the program by its absolute path",
            f"notifications[2].events: must be a list of events, such as [rotation.parked]\n  Allowed: {EVENTS}.",
            "notifications[2].timeout: must be longer than 0s",
            (
                "notifications[3].events: must not name notification.sent or notification.failed: of these nobody is "
                "told"
            ),
            'notifications[3]: unknown key "shell".\n  Allowed: kind, command, events, timeout.',
            "notifications[4].kind: must be one of webhook, exec",
        ],
    ),
    "what comes later": (
        document(
            "audit: {mirror: [syslog], signing_key: 'cred:k', checkpoint_every: 1h, on_break: §halt}",
        ),
        [
            "audit.on_break: must be one of alert, stop",
        ],
    ),
    # stores
    "store name": (
        document(stores=STORES + "  §Other: {kind: embedded, path: s, key: file:k}\n"),
        [
            (
                "stores: a key is not a name; lower-case letters, digits, `.`, `_` and `-`, at most 63, beginning with a "
                "letter or digit"
            )
        ],
    ),
    "store kind": (
        document(stores=store("{kind: §redis, url: x}")),
        ["stores.other.kind: must be one of vault, embedded"],
    ),
    "no store kind": (
        document(stores=store("§{path: s}")),
        ["stores.other: `kind` is missing; one of vault, embedded"],
    ),
    "store that is text": (
        document(stores=store("§vault")),
        ["stores.other: must be a mapping\n  Begin with kind: one of vault, embedded."],
    ),
    "auth method": (
        document(stores=store("{kind: vault, address: https://v, auth: {method: §approl, role_id: x}}")),
        ['stores.other.auth.method: must be one of approle, token, cert, jwt, kubernetes. Did you mean "approle"?'],
    ),
    "plain http": (
        document(stores=store("{kind: vault, address: §'http://v:8200', auth: {method: token, token: file:t}}")),
        ["stores.other.address: must be https; http only for this machine (localhost, 127.0.0.1, ::1)"],
    ),
    "nearly loopback": (
        document(
            stores=store("{kind: vault, address: §'http://127.0.0.1.example', auth: {method: token, token: file:t}}")
        ),
        ["stores.other.address: must be https; http only for this machine (localhost, 127.0.0.1, ::1)"],
    ),
    "missing keys": (
        document(stores=store("{kind: vault, address: https://v, auth: §§{method: approle}}")),
        ["stores.other.auth: `role_id` is missing", "stores.other.auth: `secret_id` is missing"],
    ),
    "one mount for both": (
        document(
            stores=store("{kind: vault, address: https://v, mount: §rotator, auth: {method: token, token: file:t}}")
        ),
        [
            (
                "stores.other.mount: is also the staging mount of this store\n"
                "  Unverified values lie in staging: give it a mount of its own that only rotator may read."
            )
        ],
    ),
    "a mount that is another's staging mount": (
        document(
            stores=STORES
            + "  a: {kind: vault, address: https://v, staging_mount: s, auth: {method: token, token: file:t}}\n"
            + "  b: {kind: vault, address: https://v, mount: §s, auth: {method: token, token: file:t}}\n"
        ),
        [
            (
                'stores.b.mount: is also the staging mount of store "a"\n'
                "  Unverified values lie in staging: give it a mount of its own that only rotator may read."
            )
        ],
    ),
    "a store that opens itself": (
        document(stores=store("{kind: vault, address: https://v, auth: {method: token, token: §'vault:other/a/b#c'}}")),
        [
            (
                'stores.other.auth.token: leads back into store "other", which cannot be opened without it\n'
                "  Keep it in env:, file: or cred:, or in another store."
            )
        ],
    ),
    "stores that open each other": (
        document(
            stores=STORES
            + "  a: {kind: vault, address: https://a, auth: {method: token, token: §'vault:b/x#y'}}\n"
            + "  b: {kind: embedded, path: b, key: §'vault:a/x#y'}\n"
        ),
        [
            (
                'stores.a.auth.token: leads back into store "a", which cannot be opened without it\n'
                "  Keep it in env:, file: or cred:, or in another store."
            ),
            (
                'stores.b.key: leads back into store "b", which cannot be opened without it\n'
                "  Keep it in env:, file: or cred:, or in another store."
            ),
        ],
    ),
    "a reference into no store": (
        document(stores=store("{kind: embedded, path: s, key: §'vault:vaul/x#y'}")),
        ['stores.other.key: no store is called "vaul". Did you mean "vault"?'],
    ),
    # providers
    "an unknown kind": (
        document(
            providers=PROVIDERS + "  e: {kind: §entrra}\n",
        ),
        [
            'providers.e.kind: must be one of entra, http, keycloak, manual, dynamic_registration. Did you mean "entra"?',
        ],
    ),
    "entra": (
        document(
            providers="providers:\n  contoso: {kind: entra, tenant: §not one, cloud: §moon, authority: §'http://127.0.0.1', "
            "proxy: §'https://u:p@x', auth: {method: certificate, client_id: §x, certificate: file:x}}\n"
        ),
        [
            "providers.contoso.tenant: not a tenant; its GUID, or a domain name such as contoso.onmicrosoft.com",
            "providers.contoso.cloud: must be one of public, usgov, dod, china",
            "providers.contoso.authority: must be an https URL",
            "providers.contoso.proxy: must be the URL of a proxy, such as http://proxy.example.com:3128",
            "providers.contoso.auth.client_id: not a GUID, such as 7f3c0c52-0000-4000-8000-000000000000",
        ],
    ),
}
