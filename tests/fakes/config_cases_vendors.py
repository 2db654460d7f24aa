"""Faulty descriptions of vendors, and faulty credentials at one, with what must be said of them."""

# ruff: noqa: E501  the sentences stand here as they are shown

from __future__ import annotations

from tests.fakes.config_files import NOT_A_DURATION, PROVIDERS, credential, document

CREATE = """{request: "POST /apps/{app}/secrets", json: {label: "{tag}", ttl: "{lifetime_seconds}"}, expect: [201],
               secret: /client_secret, key_id: /id, expires_at: /expires_at}"""
LIST = (
    '{request: "GET /apps/{app}/secrets", items: /items, key_id: /id, tag: /label, expires_at: /expires_at, next: link}'
)
RETIRE = '{request: "DELETE /apps/{app}/secrets/{key_id}", expect: [204]}'
AT_IT = "provider: {use: v, client_id: c, with: {app: x}}"
PROVED = "verify: {token_url: https://v.example/token, expect: {aud: api://one, signature: unverified}}"


def vendor(
    create: str = CREATE,
    listed: str = LIST,
    retire: str = RETIRE,
    more: str = "",
    *,
    at: str = AT_IT,
    proved: str = PROVED,
    operations: str = "",
) -> str:
    """Return a configuration with one vendor, right but for what is given."""
    said = f"""\
  v:
    kind: http
    base_url: https://v.example/api
    auth: {{method: bearer, token: "file:t"}}
    operations:
      create: {create}
      list: {listed}
      retire: {retire}
{operations}{more}"""
    return document(providers=PROVIDERS + said, credentials=credential(at, proved))


AT = "providers.v"
PLACES = "Places that rotator fills in"
LET_IT_BE = "It is looked for as it is: let it be all of a text, of a header, or of what stands between two slashes."
METHODS = "Methods: GET, POST, PUT, PATCH, DELETE. The path begins with / and stands below `base_url`."

VENDORS: dict[str, tuple[str, list[str]]] = {
    "a vendor: seconds in a list": (
        vendor(listed=LIST.replace("expires_at: /expires_at", "expires_at: /expires_at, expires_format: §seconds")),
        [
            f"{AT}.operations.list.expires_format: seconds mean nothing in a list\n  Seconds count from the answer to a creation; a list says moments: rfc3339 or epoch, or none."
        ],
    ),
    "a vendor: a time-out that outlasts a claim": (
        vendor(more="    timeout: §61s\n"),
        [
            f"{AT}.timeout: must be 60s at most\n  A rotation stands still meanwhile, and after two minutes another takes over."
        ],
    ),
    "a vendor: labels that are too short to tell ours apart": (
        vendor(listed=LIST.replace("tag: /label,", "tag: /label, tag_length: §31,")),
        [
            f"{AT}.operations.list.tag_length: must be a number of characters, from 32 to 128\n  In a shorter one ours could not be told apart; where the vendor keeps more, leave it out."
        ],
    ),
    "a vendor: the length of labels that it does not keep": (
        vendor(listed=LIST.replace("tag: /label,", "tag_length: §64,")),
        [
            f"{AT}.operations.list.tag_length: is given without `tag`\n  Say where in the list our label stands; a vendor that keeps none needs no length."
        ],
    ),
    "a vendor: requests and pointers": (
        vendor(
            create='{request: §FETCH /apps, json: {l: "{tag}"}, expect: §[20], secret: §client_secret, key_id: /id, headers: {§Authorization: x}}',
            listed='{request: "GET /a/{app}", items: §/a~2, key_id: /id, tag: /label, expires_format: §iso}',
        ),
        [
            f"{AT}.operations.create.request: must be a method and a path, such as POST /apps/{{app}}/secrets\n  {METHODS}",
            f"{AT}.operations.create.expect: must be HTTP statuses, such as [200, 201]",
            f'{AT}.operations.create.secret: must be a JSON pointer, such as /client_secret, or "" for the whole answer',
            f"{AT}.operations.create.headers: a login does not stand in an operation\n  Say it under `auth`, where secrets are references.",
            f'{AT}.operations.list.items: must be a JSON pointer, such as /client_secret, or "" for the whole answer',
            f"{AT}.operations.list.expires_format: must be one of rfc3339, epoch, seconds, none",
        ],
    ),
    "a vendor whose address has a query": (
        vendor().replace("base_url: https://v.example/api", "base_url: §https://v.example/api?tenant=1"),
        [f"{AT}.base_url: must have no query (?), since paths are put behind it"],
    ),
    "a vendor: slots, errors, rate": (
        vendor(
            operations="      set: {request: §POST}\n",
            more="    slots: {live: §0, value: §both, generate: {length: §16, alphabet: §emoji}}\n"
            "    errors: [{status: §200, class: §mine, equals: §[1]}]\n"
            "    rate: {per_second: §0}\n    timeout: §0s\n",
        ),
        [
            f"{AT}.operations.set.request: must be a method and a path, such as POST /apps/{{app}}/secrets\n  {METHODS}",
            f"{AT}.slots.live: must be a whole number, at least 1",
            f"{AT}.slots.value: must be one of vendor, caller",
            f"{AT}.slots.generate.length: must be a number of characters, from 32 to 512",
            f"{AT}.slots.generate.alphabet: must be one of base64url, alphanumeric, hex",
            f"{AT}.errors[0].status: must be an HTTP status of an error, such as 422",
            f"{AT}.errors[0].class: must be one of transient, refused, denied, no_free_slot",
            f"{AT}.errors[0].equals: must be a text, a number, true, false or null",
            f"{AT}.rate.per_second: must be a number of requests, from 0.001 to 1000",
            f"{AT}.timeout: must be longer than 0s",
        ],
    ),
    "a vendor: a label among other words, in a text": (
        vendor(create='§{request: "POST /a/{app}", json: {label: "by rotator: {tag}"}, secret: /s, key_id: /id}'),
        [f"{AT}.operations.create: sends {{tag}} only together with other text\n  {LET_IT_BE}"],
    ),
    "a vendor: a label in two pairs of braces": (
        vendor(create='§{request: "POST /a/{app}?for=x{tag}", json: {label: "{{tag}}"}, secret: /s, key_id: /id}'),
        [f"{AT}.operations.create: sends {{tag}} only together with other text\n  {LET_IT_BE}"],
    ),
    "a vendor: places without quotes, and words that contradict each other": (
        vendor(
            create='{request: "PUT /a/{app}/{tag}", json: §{o: [{ttl: {lifetime_seconds}}]}, secret: /s, key_id: /id}',
            listed='{request: "GET /a/{app}", items: /i, key_id: /id, tag: /t, expires_format: none, expires_at: §/e}',
            more="    errors: [{status: 422, equals: §full, class: refused}]\n",
        ),
        [
            f'{AT}.operations.create.json: {{lifetime_seconds}} without quotes is a mapping in YAML\n  Write "{{lifetime_seconds}}".',
            (
                f"{AT}.operations.list.expires_at: is given, and `expires_format` is none\n"
                "  Leave one of the two out: `none` says that no time in this answer is read."
            ),
            (
                f"{AT}.errors[0].equals: is compared with nothing: `pointer` is missing\n"
                "  Say in `pointer` where in the answer it must stand; or leave it out, then the status decides alone."
            ),
        ],
    ),
    "a vendor: a header of the request itself, and a next page that is neither": (
        vendor(
            create='{request: "PUT /a/{tag}", headers: {§Content-Length: "3"}, secret: /s, key_id: /id}',
            listed='{request: "GET /a/{app}", items: /i, key_id: /id, tag: /t, next: §Link}',
        ),
        [
            f"{AT}.operations.create.headers: is set by rotator for each request\n  Leave it out.",
            (
                f'{AT}.operations.list.next: must be a JSON pointer, such as /client_secret, or "" for the whole answer\n'
                "  Or `link`, where the next page stands in the Link header."
            ),
        ],
    ),
    "a vendor with a single slot and the operations of two": (
        vendor(f"§{CREATE}", f"§{LIST}", f"§{RETIRE}", more="    slots: {live: 1}\n").replace(
            "create: §", "§create: §"
        ),
        [
            f"{AT}.operations: `regenerate` is missing\n  There is a single slot and the vendor chooses the value (slots.value), so say how: regenerate: {{request: …}}",
            f"{AT}.operations.create: has no use here\n  A single slot is changed by `regenerate` alone.",
            f"{AT}.operations.list: has no use here\n  A single slot is changed by `regenerate` alone.",
            f"{AT}.operations.retire: has no use here\n  A single slot is changed by `regenerate` alone.",
        ],
    ),
    "a vendor with two slots and the operations of one": (
        vendor(
            operations="      read: §{request: GET /x, secret: /s}\n",
            more="    slots: {value: §caller}\n",
        ),
        [
            f"{AT}.operations.read: is for a single slot\n  Leave it out; or say slots.live: 1.",
            f"{AT}.slots.value: is for a single slot: here the vendor chooses\n  Leave it out; or say live: 1.",
        ],
    ),
    "a vendor that takes our value, and is not given it": (
        document(
            providers=PROVIDERS
            + """\
  v:
    kind: http
    base_url: https://v.example/api
    auth: {method: none}
    slots: {live: 1, value: caller}
    operations:
      set: §{request: "PATCH /apps/{app}", json: {secret: fixed}}
      read: §{request: "GET /apps/{app}"}
""",
            credentials=credential(AT_IT, PROVED),
        ),
        [
            f"{AT}.operations.set: nowhere sends {{value}}\n  Say where our value goes.",
            f"{AT}.operations.read: `secret` is missing\n  Say where in the answer the value stands.",
        ],
    ),
    "a vendor: places that mean nothing": (
        vendor(
            create='§§{request: "POST /a/{app}", json: {id: "{key_id}"}, form: §{a: b}, secret: /s, key_id: /id}',
            retire='§{request: "DELETE /a/{app}"}',
        ),
        [
            (
                f"{AT}.operations.create: has the place {{key_id}}, which has no meaning in `create`\n"
                f"  {PLACES} `create`: expires_at, lifetime_seconds, tag. Others are filled from `with` of a credential."
            ),
            (
                f"{AT}.operations.create: nowhere sends {{tag}}\n"
                "  Without it nobody could tell after a crash what is ours. Put {tag} where the vendor keeps a name."
            ),
            f"{AT}.operations.create.form: is given beside `json`\n  A request has one body; leave one out.",
            f"{AT}.operations.retire: nowhere says {{key_id}}\n  Say which version is to be removed.",
        ],
    ),
    "a credential at a vendor": (
        vendor(
            at="provider: §§{use: v, §app_id: 7f3c0c52-0000-4000-8000-000000000001, with: {tag: §x, region: §eu}}",
            proved="verify: §{expect: §{aud: api://one}}",
        ),
        [
            "credentials[0].provider: `with` lacks `app`\n  The operations of v have the place {app}.",
            (
                "credentials[0].provider: `client_id` is missing\n"
                "  Say it here; or, where the vendor gives a new one, in `client_id` of the operation `create`."
            ),
            "credentials[0].provider: `app_id` belongs to providers of kind entra\n  v is of kind http; allowed here: use, client_id, with.",
            "credentials[0].provider.with.tag: is filled by rotator itself\n  Places to fill: app.",
            "credentials[0].provider.with.region: no operation of v has such a place\n  Places to fill: app.",
            "credentials[0].verify: `token_url` is missing\n  Say where consumers get their tokens.",
            (
                "credentials[0].verify.expect: `signature` is missing: a claim that nobody signed proves nothing by itself\n"
                "  Say {jwks_url: https://…}; or unverified, for opaque and HMAC tokens."
            ),
        ],
    ),
    "a vendor that is to end what is not used": (
        document(
            providers=PROVIDERS
            + "  k: {kind: keycloak, base_url: https://k.example, realm: r, auth: {method: none}}\n",
            credentials=credential(
                "provider: {use: k, client: c}", "verify: {expect: {aud: a}}", "policy: {retire: §when_unused}"
            ),
        ),
        [
            (
                "credentials[0].policy.retire: needs an issuer that tells of sign-ins, and only entra does\n"
                "  Say after_grace, with a grace that is long enough."
            ),
        ],
    ),
    "a credential at a vendor without metadata": (
        vendor(proved="verify: {token_url: https://v.example/token, expect: {aud: x, signature: §jwks}}"),
        [
            (
                "credentials[0].verify.expect.signature: no metadata are known for this provider, so its keys are not either\n"
                "  Say {jwks_url: https://…}; or unverified, for opaque and HMAC tokens."
            ),
        ],
    ),
    "a credential of Entra with the keys of a vendor": (
        document(
            credentials=credential(
                "provider: {use: contoso, app_id: 7f3c0c52-0000-4000-8000-000000000001, §with: {a: b}}"
            )
        ),
        [
            (
                "credentials[0].provider: `with` belongs to providers of kind http\n"
                "  contoso is of kind entra; allowed here: use, app_id, object_id, credential."
            ),
        ],
    ),
    "a vendor with a person": (
        document(
            providers=PROVIDERS
            + "  m: {kind: manual, portal: §nowhere, lifetime: §0h, remind_before: [§soon], §auth: x}\n"
        ),
        [
            "providers.m.portal: must be an https URL",
            "providers.m.lifetime: must be longer than 0s",
            f"providers.m.remind_before[0]: {NOT_A_DURATION}",
            'providers.m: unknown key "auth".\n  Allowed: kind, portal, instructions, lifetime, remind_before.',
        ],
    ),
    "a credential that a person makes": (
        document(
            providers=PROVIDERS + "  m: {kind: manual, portal: https://x.example, lifetime: 72h}\n",
            credentials=credential(
                "provider: {use: m, client_id: c, §with: {a: b}}",
                PROVED,
                "policy: {lifetime: §90d, rotate_before: §72h, grace: 1h, retire: §after_grace}",
            ),
        ),
        [
            "credentials[0].provider: `with` belongs to providers of kind http\n  m is of kind manual; allowed here: use, client_id.",
            (
                "credentials[0].policy.lifetime: nothing is asked of an issuer here\n"
                "  How long such a version lives is `lifetime` of the provider, or what is said at the intake."
            ),
            (
                "credentials[0].policy.rotate_before: 3d is not less than the 3d that such a version lives.\n"
                "  A fresh one would be due at once. Use less, or leave it out: then it is the first of `remind_before`."
            ),
            (
                "credentials[0].policy.retire: what a person made cannot be removed by rotator\n"
                "  Say let_expire; or manual, for a person who removes it and says so with `rotator retire`."
            ),
        ],
    ),
    "a person who is asked sooner than what he made is valid": (
        document(
            providers=PROVIDERS
            + "  m: {kind: manual, portal: https://x.example, lifetime: 72h, remind_before: [§100h, §72h, 8h]}\n"
        ),
        [
            "providers.m.remind_before[0]: 100h is not less than the 3d that such a version lives.\n  A fresh one would be due at once. Use less.",
            "providers.m.remind_before[1]: 3d is not less than the 3d that such a version lives.\n  A fresh one would be due at once. Use less.",
        ],
    ),
    "a policy that a person's hand leaves no room for": (
        document(
            providers=PROVIDERS + "  m: {kind: manual, portal: https://x.example, lifetime: 72h}\n",
            credentials=credential(
                "provider: {use: m, client_id: c}",
                PROVED,
                "policy: {prepare: §1h, window: §{days: mon}, retire: manual}",
            ),
        ),
        [
            "credentials[0].policy.prepare: has no effect here: a person makes each version, whenever he does\n  Leave it out.",
            "credentials[0].policy.window: has no effect here: a person makes each version, whenever he does\n  Leave it out.",
        ],
    ),
    "a policy that a single slot leaves no room for": (
        document(
            providers=PROVIDERS
            + """\
  v:
    kind: http
    base_url: https://v.example/api
    auth: {method: none}
    slots: {live: 1}
    operations:
      regenerate: {request: "POST /regenerate", secret: /s}
""",
            credentials=credential(
                "provider: {use: v, client_id: c}",
                PROVED,
                "policy: {prepare: §1h, window: {days: mon}, retire: §let_expire}",
            ),
        ),
        [
            "credentials[0].policy.prepare: has no effect here: a new version ends the one before at once\n  Leave it out.",
            "credentials[0].policy.retire: has no effect here: a new version ends the one before at once\n  Leave it out.",
        ],
    ),
    "a realm of Keycloak": (
        document(
            providers=PROVIDERS
            + "  k: {kind: keycloak, base_url: §nowhere, auth: {method: none}}\n".replace("{kind", "§{kind"),
        ),
        [
            "providers.k: `realm` is missing",
            "providers.k.base_url: must be an https URL",
        ],
    ),
    "a credential in a realm of Keycloak": (
        document(
            providers=PROVIDERS
            + "  k: {kind: keycloak, base_url: https://k.example, realm: r, auth: {method: none}}\n",
            credentials=credential("provider: §{use: k, §client_id: c}", "verify: {expect: {aud: account}}"),
        ),
        [
            "credentials[0].provider: `client` is missing\n  Say the clientId of the client in the realm.",
            "credentials[0].provider: `client_id` belongs to providers of kind manual\n  k is of kind keycloak; allowed here: use, client.",
        ],
    ),
    "a server that registers clients": (
        document(
            providers=PROVIDERS + "  k: {kind: dynamic_registration, registration_url: §nowhere}\n",
            credentials=credential("provider: {use: k, metadata: {scope: a}, §client: x}", "verify: §{scope: s}"),
        ),
        [
            "providers.k.registration_url: must be an https URL",
            "credentials[0].provider: `client` belongs to providers of kind keycloak\n  k is of kind dynamic_registration; allowed here: use, metadata.",
            "credentials[0].verify: `token_url` is missing\n  Say where consumers get their tokens.",
        ],
    ),
}
