"""Faulty files and what must be said of them: credentials, alone and among each other, and what is said for all."""

# ruff: noqa: E501  the sentences stand here as they are shown

from __future__ import annotations

from tests.fakes.config_files import NOT_A_DURATION, PROVIDERS, STORES, TWO, credential, document, policy, verify

AT = "credentials[0]"
OF_A_PROBE = "This proof is of kind http_probe; leave the key out, or say another `verify.kind`."

CREDENTIALS: dict[str, tuple[str, list[str]]] = {
    # credentials
    "names that do not resolve": (
        document(credentials=credential("provider: {use: §contso, app_id: §1}", "store: {use: §valt, path: §a//b}")),
        [
            f'{AT}.provider.use: no provider is called "contso". Did you mean "contoso"?',
            f"{AT}.provider.app_id: not a GUID, such as 7f3c0c52-0000-4000-8000-000000000000",
            f'{AT}.store.use: no store is called "valt". Did you mean "vault"?',
            f"{AT}.store.path: not a store path; letters, digits, `.`, `_`, `-`, in segments with one `/` between them",
        ],
    ),
    "a name like no other": (
        document(credentials=credential("store: {use: §somewhere-else, path: a}")),
        [f'{AT}.store.use: no store is called "somewhere-else".\n  Known: local, vault.'],
    ),
    "no provider at all": (
        document(providers="", credentials=credential().replace("use: contoso", "use: §contoso")),
        [f'{AT}.provider.use: no provider is called "contoso".\n  There is none yet: add it under providers.'],
    ),
    "which application": (
        document(credentials=credential("provider: §{use: contoso}")),
        [f"{AT}.provider: `app_id` or `object_id` is missing\n  Say which application it is."],
    ),
    "two applications": (
        document(
            credentials=credential(
                "provider: {use: contoso, app_id: 7f3c0c52-0000-4000-8000-000000000001, "
                "object_id: §7f3c0c52-0000-4000-8000-000000000002}"
            )
        ),
        [
            (
                f"{AT}.provider.object_id: `app_id` already says which application it is\n"
                "  Keep one: two names could one day mean two applications."
            )
        ],
    ),
    "a kind of credential": (
        document(
            credentials=credential(
                "provider: {use: contoso, app_id: 7f3c0c52-0000-4000-8000-000000000001, credential: §passkey}"
            )
        ),
        [f"{AT}.provider.credential: must be one of secret, certificate"],
    ),
    "a certificate that is sent as a secret": (
        document(
            credentials=credential(
                "provider: {use: contoso, app_id: 7f3c0c52-0000-4000-8000-000000000001, credential: certificate}",
                "verify: {scope: api://x/.default, expect: {aud: api://x}, client_auth: §client_secret_basic}",
            )
        ),
        [
            (
                f"{AT}.verify.client_auth: sends a secret, and what is rotated here is a certificate\n"
                "  Use private_key_jwt, or leave the key out."
            )
        ],
    ),
    "a certificate that is probed with": (
        document(
            credentials=credential(
                "provider: {use: contoso, app_id: 7f3c0c52-0000-4000-8000-000000000001, credential: certificate}",
                'verify: {kind: §http_probe, request: "GET https://x.example", credential_in: {header: X-Key}}',
            )
        ),
        [
            (
                f"{AT}.verify.kind: sends a key, and what is rotated here is a certificate\n"
                "  A certificate is proved by a token; leave `verify.kind` out."
            )
        ],
    ),
    "fields of another kind": (
        document(credentials=credential("store: {use: vault, path: a, fields: {§private_key: key}}")),
        [(f"{AT}.store.fields: `private_key` is no field of a secret; it is held in client_secret\n  Leave it out.")],
    ),
    "fields of a certificate that collide": (
        document(
            credentials=credential(
                "provider: {use: contoso, app_id: 7f3c0c52-0000-4000-8000-000000000001, credential: certificate}",
                "store: {use: vault, path: a, fields: {certificate: pem, private_key: §pem}}",
            )
        ),
        [
            (
                f"{AT}.store.fields.private_key: `pem` would hold two of our fields: certificate and private_key\n"
                "  Give every field a name of its own."
            )
        ],
    ),
    "dot segments": (
        document(credentials=credential("store: {use: vault, path: §a/../b}")),
        [f"{AT}.store.path: a segment of dots is not allowed in a store path"],
    ),
    "fields": (
        document(
            credentials=credential("store: {use: vault, path: a, fields: {§clientsecret: x, client_secret: §a b}}")
        ),
        [
            (
                f"{AT}.store.fields: a key must be one of client_id, client_secret, certificate, private_key, token_url, "
                "scope, key_id, issued_at, expires_at, rotation_id"
            ),
            f"{AT}.store.fields.client_secret: not a field name; letters, digits, `_`, `.`, `-`, at most 128",
        ],
    ),
    "fields that collide": (
        document(credentials=credential("store: {use: vault, path: a, fields: {client_secret: §client_id}}")),
        [
            (
                f"{AT}.store.fields.client_secret: `client_id` would hold two of our fields: client_id and client_secret\n"
                "  Give every field a name of its own."
            )
        ],
    ),
    "labels and words": (
        document(credentials=credential("labels: {env: §true, §a=b: c}", 'owner: §"a\\nb"', "hooks: [§§{kind: exec}]")),
        [
            f"{AT}.labels.env: must be text; put it in quotes",
            f"{AT}.labels: a key is not a label; letters, digits, `.`, `_`, `/`, `-`, at most 63",
            f"{AT}.owner: must be one line without control characters",
            f"{AT}.hooks[0]: `command` is missing",
            f"{AT}.hooks[0]: `events` is missing",
        ],
    ),
    # verify
    "a probe": (
        document(
            credentials=credential(
                "verify: §§{kind: http_probe, §token_url: https://x, §scope: y, expect: {§aud: a, status: §[42]}}"
            )
        ),
        [
            (
                f"{AT}.verify: `request` is missing\n"
                '  Such as request: "GET https://api.example.com/v1/me", credential_in: {header: X-Api-Key}.'
            ),
            (
                f"{AT}.verify: `credential_in` is missing\n"
                '  Such as request: "GET https://api.example.com/v1/me", credential_in: {header: X-Api-Key}.'
            ),
            f"{AT}.verify: `token_url` has no meaning for this kind of proof\n  {OF_A_PROBE}",
            f"{AT}.verify: `scope` has no meaning for this kind of proof\n  {OF_A_PROBE}",
            f"{AT}.verify.expect: `aud` has no meaning for this kind of proof\n  {OF_A_PROBE}",
            f"{AT}.verify.expect.status: must be HTTP statuses, such as [200, 201]",
        ],
    ),
    "a probe to elsewhere": (
        document(
            credentials=credential(
                "verify: {kind: http_probe, request: §GET http://v.example/me, credential_in: {header: X}, proofs: §0}"
            )
        ),
        [
            (
                f"{AT}.verify.request: must be https; http only for this machine (localhost, 127.0.0.1, ::1)\n"
                "  Use https. verify.unsafe_plain_http: true allows it, and whoever is on the way reads the secret."
            ),
            f"{AT}.verify.proofs: must be at least 1",
        ],
    ),
    "a probe that takes a refusal for a success": (
        document(
            credentials=credential(
                "verify: {kind: http_probe, request: GET https://v.example/me, credential_in: {header: X},"
                " expect: {status: §[200, 401]}}"
            )
        ),
        [f"{AT}.verify.expect.status: 401 says that a key is wrong, so it cannot be a success"],
    ),
    "a hook on what belongs to no credential": (
        document(
            credentials=credential(
                "hooks:\n  - {kind: exec, command: [/x], events: §[rotation.parked, daemon.started, audit.checkpoint]}\n"
                '  - {kind: webhook, url: https://o.example, secret: §"vault:vaul/hooks#key", events: [rotation.parked]}'
            )
        ),
        [
            (
                f"{AT}.hooks[0].events: of no credential: daemon.started, audit.checkpoint; a hook never hears of it\n"
                "  Have them told under `notifications`."
            ),
            (
                f'{AT}.hooks[1].secret: no store is called "vaul". Did you mean "vault"?\n'
                "  Name one that stands under `stores`, or use env:, file: or cred:."
            ),
        ],
    ),
    "the keys of a probe for a token": (
        document(
            credentials=credential(
                "verify: {scope: a/.default, §request: GET https://v.example/me, expect: {aud: a, §status: [200]}}"
            )
        ),
        [
            (
                f"{AT}.verify: `request` has no meaning for this kind of proof\n"
                "  This proof is of kind client_credentials; leave the key out, or say another `verify.kind`."
            ),
            (
                f"{AT}.verify.expect: `status` has no meaning for this kind of proof\n"
                "  This proof is of kind client_credentials; leave the key out, or say another `verify.kind`."
            ),
        ],
    ),
    "no scope": (
        document(credentials=credential("verify: §{expect: {aud: x}}")),
        [
            (
                f"{AT}.verify: `scope` is missing: Entra gives no token without one\n"
                "  Name the API, such as api://example/.default."
            )
        ],
    ),
    "form fields of our own": (
        verify("params: {§client_secret: x, resource: §3}"),
        [
            f"{AT}.verify.params: this form field is rotator's own; `params` adds others",
            f"{AT}.verify.params.resource: must be text; put it in quotes",
        ],
    ),
    "too little time": (
        verify("proofs: 4, spacing: 5m, deadline: §15m"),
        [
            (
                f"{AT}.verify.deadline: 4 proofs, 5m apart, take at least 15m; the deadline is 15m.\n"
                "  No version could ever be proved. Use fewer proofs, less spacing, or more time."
            )
        ],
    ),
    "no proofs": (
        verify("proofs: §0, max_refused: §1.5, negative_control: §no, every: §0s"),
        [
            f"{AT}.verify.proofs: must be at least 1",
            f"{AT}.verify.max_refused: must be a whole number",
            f"{AT}.verify.negative_control: must be true or false",
            f"{AT}.verify.every: must be longer than 0s",
        ],
    ),
    "plain http to elsewhere": (
        verify("token_url: §'http://10.0.0.1/t', expect: {signature: {jwks_url: §'http://example.com/k'}}"),
        [
            f"{AT}.verify.{key}: must be https; http only for this machine (localhost, 127.0.0.1, ::1)\n"
            "  Use https. verify.unsafe_plain_http: true allows it, and whoever is on the way reads the secret."
            for key in ("token_url", "expect.signature.jwks_url")
        ],
    ),
    "plain http beside a faulty key of the same section": (
        verify("token_url: §'http://10.0.0.1/t', proofs: §0"),
        [
            (
                f"{AT}.verify.token_url: must be https; http only for this machine (localhost, 127.0.0.1, ::1)\n"
                "  Use https. verify.unsafe_plain_http: true allows it, and whoever is on the way reads the secret."
            ),
            f"{AT}.verify.proofs: must be at least 1",
        ],
    ),
    "plain http that may be allowed": (
        verify("token_url: 'http://10.0.0.1/t', unsafe_plain_http: §maybe"),
        [f"{AT}.verify.unsafe_plain_http: must be true or false"],
    ),
    "plain http through a proxy": (
        verify("token_url: 'http://localhost/t', proxy: §'http://proxy:3128'"),
        [
            (
                f"{AT}.verify.proxy: is not for plain http, and verify.token_url is\n"
                "  The proxy would read the secret; remove the proxy, or use https."
            )
        ],
    ),
    "client authentication": (
        verify("client_auth: §private_key_jwt"),
        [
            (
                f"{AT}.verify.client_auth: signs with the key of a certificate, and what is rotated here is a secret\n"
                "  Use client_secret_post or client_secret_basic."
            )
        ],
    ),
    "empty lists of checks": (
        verify("expect: {aud: §[], roles: §[], scope: §x, signature: §none, refresh_token: §yes}"),
        [
            f"{AT}.verify.expect.aud: an empty list checks nothing; leave the key out, or name what is expected",
            f"{AT}.verify.expect.roles: an empty list checks nothing; leave the key out, or name what is expected",
            f"{AT}.verify.expect.scope: must be a list",
            f"{AT}.verify.expect.signature: must be jwks, unverified, or {{jwks_url: https://…}}",
            f"{AT}.verify.expect.refresh_token: must be one of present, works",
        ],
    ),
    "no checks at all": (
        verify("expect: §{}"),
        [
            (
                f"{AT}.verify.expect: names nothing that a token must be; an empty list of checks proves nothing\n"
                "  Say at least `aud`, or leave the key out."
            )
        ],
    ),
    # policy
    "grace": (
        policy("lifetime: 90d, rotate_before: 30d, grace: §40d"),
        [
            (
                f"{AT}.policy.grace: 40d is longer than rotate_before (30d).\n"
                "  The old secret would expire before its grace ends. Use less than 30d here, or a larger rotate_before."
            )
        ],
    ),
    "grace beside a faulty key of the same section": (
        policy("lifetime: 90d, rotate_before: 30d, grace: §40d, max_creations: §0"),
        [
            (
                f"{AT}.policy.grace: 40d is longer than rotate_before (30d).\n"
                "  The old secret would expire before its grace ends. Use less than 30d here, or a larger rotate_before."
            ),
            f"{AT}.policy.max_creations: must be at least 1",
        ],
    ),
    "grace beside what nobody can read": (
        policy("rotate_before: §soon, grace: 40d"),
        [f"{AT}.policy.rotate_before: {NOT_A_DURATION}"],
    ),
    "grace beside an unknown key": (
        policy("§grcae: 1h, grace: §30d"),
        [
            (
                f'{AT}.policy: unknown key "grcae". Did you mean "grace"?\n  Allowed: lifetime, rotate_before, max_age, '
                "grace, retire, window, accept_gap, prepare, quarantine, max_creations, alert_before."
            ),
            (
                f"{AT}.policy.grace: 30d is as long as rotate_before (30d, the default).\n"
                "  The old secret would expire before its grace ends. Use less than 30d here, or a larger rotate_before."
            ),
        ],
    ),
    "lifetime": (
        policy("lifetime: §7d"),
        [
            (
                f"{AT}.policy.lifetime: 7d is shorter than rotate_before (30d, the default).\n"
                "  A fresh secret would be due at once. Use more than 30d here, or a smaller rotate_before."
            )
        ],
    ),
    "durations": (
        policy(
            "lifetime: §90, rotate_before: §1.5d, grace: §1d12h, max_age: §0s, quarantine: §-5s, alert_before: [§1y]"
        ),
        [
            f"{AT}.policy.lifetime: {NOT_A_DURATION}",
            f"{AT}.policy.rotate_before: {NOT_A_DURATION}",
            f"{AT}.policy.grace: {NOT_A_DURATION}",
            f"{AT}.policy.max_age: must be longer than 0s",
            f"{AT}.policy.quarantine: {NOT_A_DURATION}",
            f"{AT}.policy.alert_before[0]: {NOT_A_DURATION}",
        ],
    ),
    "a duration without end": (policy("lifetime: §99999999999w"), [f"{AT}.policy.lifetime: longer than 36500d"]),
    "a next version that is prepared too early": (
        policy("lifetime: 90d, rotate_before: 30d, prepare: §60d"),
        [
            (
                f"{AT}.policy.prepare: 60d is not less than the 60d between two rotations\n"
                "  The next version would be made before the last one is shown. Use less."
            ),
        ],
    ),
    "windows": (
        policy("window: {days: §mon-fry, hours: §09:00-09:00, timezone: §Europe/Zurch}"),
        [
            f"{AT}.policy.window.days: not days; `daily`, a span such as mon-fri, or a list such as mon,wed",
            f'{AT}.policy.window.hours: this window never opens\n  For the whole day write "00:00-24:00".',
            (
                f"{AT}.policy.window.timezone: no such time zone; a name such as Europe/Zurich or UTC."
                ' Did you mean "Europe/Zurich"?'
            ),
        ],
    ),
    "hours": (
        policy("window: {hours: §9-16}"),
        [f'{AT}.policy.window.hours: not hours; such as "09:00-16:00", or "22:00-04:00" over midnight'],
    ),
    "hours of no day": (
        policy("window: {hours: §09:00-25:00}"),
        [f"{AT}.policy.window.hours: not a time of day; 00:00 to 23:59, and 24:00 for the end of the day"],
    ),
    # defaults
    "a fault in the defaults is one fault": (
        document(
            "defaults:\n  policy: {grace: §40d, rotate_befor: 1d}\n  verify: {proofs: §0}\n  store: {path: §/a}\n"
            "  §labels: {}".replace("rotate_befor", "§rotate_befor"),
            credentials=credential() + credential(name="two", provider=TWO, path="two").partition("\n")[2],
        ),
        [
            (
                "defaults.policy.grace: 40d is longer than rotate_before (30d, the default).\n"
                "  The old secret would expire before its grace ends. Use less than 30d here, or a larger rotate_before."
            ),
            (
                'defaults.policy: unknown key "rotate_befor". Did you mean "rotate_before"?\n  Allowed: lifetime, '
                "rotate_before, max_age, grace, retire, window, accept_gap, prepare, quarantine, max_creations, "
                "alert_before."
            ),
            "defaults.verify.proofs: must be at least 1",
            (
                "defaults.store.path: not a store path; letters, digits, `.`, `_`, `-`, in segments with one `/` between "
                "them"
            ),
            'defaults: unknown key "labels".\n  Allowed: policy, verify, store.',
        ],
    ),
    "a default against a credential": (
        document("defaults: {policy: {grace: 20d}}", credentials=credential("policy: {rotate_before: §10d}")),
        [
            (
                f"{AT}.policy.rotate_before: 10d is shorter than grace (20d).\n"
                "  The old secret would expire before its grace ends. Use more than 20d here, or a smaller grace."
            )
        ],
    ),
    # between credentials
    "what two credentials may not share": (
        document(
            stores=STORES + "  again: {kind: vault, address: https://vault.example.com:8200/, "
            "auth: {method: token, token: file:t}}\n",
            providers=PROVIDERS + "  again: {kind: entra, tenant: 11111111-2222-3333-4444-555555555555, "
            "auth: {method: managed_identity}}\n",
            credentials=credential()
            + credential(
                "provider: {use: again, app_id: §7F3C0C52-0000-4000-8000-000000000001}",
                "store: {use: again, path: §partners/one}",
            )
            .partition("\n")[2]
            .replace("name: one", "name: §one"),
        ),
        [
            (
                "credentials[1].name: this name is taken: config.yaml: credentials[0] has it\n"
                "  A name is for ever that of one credential; choose another."
            ),
            (
                "credentials[1].provider.app_id: config.yaml: credentials[0] rotates this application already\n"
                "  Two credentials would retire each other's secrets; an application is rotated by one."
            ),
            (
                "credentials[1].store.path: config.yaml: credentials[0] writes there already\n"
                "  Two credentials would overwrite each other; give each a path of its own."
            ),
        ],
    ),
}
