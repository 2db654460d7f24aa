"""Writes what a newcomer needs into one folder: CA, rotator's own credentials, and a config.yaml; never over one that
somebody has edited."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from string import Template

from cryptography import x509

from rotator.sandbox.tls import Tls, prepare_client_certificate, prepare_tls, write_private
from rotator.sandbox.world import (
    FIELDOPS_PROD,
    KONTROLLE_PROD,
    ROTATOR,
    SITE_REPORTS_API,
    SITE_REPORTS_PROD,
    TENANT,
)

SCREENING_CLIENT, NETWRIX_CLIENT = "site-reports-partner", "access-analyzer-client"
"""Who we are at the two other vendors."""

SECRET_LIFETIME = timedelta(days=365)


class Scene(StrEnum):
    """Which credentials the configuration tracks."""

    NEWCOMER = "newcomer"  # two that work
    DEMO = "demo"  # and one that lacks the role it needs, whose rotation is abandoned, and those of two other vendors


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast things happen, as durations in the words of the configuration."""

    lifetime: str = "30m"
    rotate_before: str = "20m"
    grace: str = "2m"
    quarantine: str = "5s"
    spacing: str = "1s"
    deadline: str = "2m"


@dataclass(frozen=True, slots=True)
class Files:
    """What lies in the folder. config_kept: config.yaml had been edited, so it was left as it was."""

    tls: Tls
    ca_file: Path
    certificate_file: Path
    secret_file: Path
    config_file: Path
    config_kept: bool
    certificate: x509.Certificate
    secret: str = field(repr=False)
    console_token: str = field(repr=False)
    secret_lifetime: timedelta = SECRET_LIFETIME


def prepare_files(folder: Path, *, port: int, now: datetime) -> Files:
    """Return the files in `folder`, made where they are missing: ca.pem, our logins, config.yaml."""
    tls = prepare_tls(folder, now)
    certificate_file, secret_file, config_file = folder / "graph.pem", folder / "graph-secret", folder / "config.yaml"
    certificate = prepare_client_certificate(certificate_file, now)
    if not secret_file.exists():
        write_private(secret_file, secrets.token_urlsafe(30).encode())
    token_file = folder / "console-token"
    if not token_file.exists():
        write_private(token_file, secrets.token_urlsafe(30).encode())
    config_kept = config_file.exists() and not _untouched(config_file)
    if not config_kept:
        write_private(config_file, render_config(port=port).encode())
    return Files(
        tls=tls,
        ca_file=tls.ca_file,
        certificate_file=certificate_file,
        secret_file=secret_file,
        config_file=config_file,
        config_kept=config_kept,
        certificate=certificate,
        secret=secret_file.read_text(encoding="ascii").strip(),
        console_token=token_file.read_text(encoding="ascii").strip(),
    )


def render_config(*, port: int, folder: str = "", scene: Scene = Scene.NEWCOMER, pace: Pace | None = None) -> str:
    """Return a config.yaml for a sandbox on `port` whose files lie in `folder`, relative to the configuration.

    The config.yaml at the top of the repository is this with the defaults of `rotator sandbox`.
    """
    pace, whole = pace or Pace(), scene is Scene.DEMO
    text = _CONFIG.replace("$partners", _PARTNERS if whole else "") + (_FIELDOPS + _OF_PARTNERS if whole else "")
    return Template(text).substitute(
        issuer=f"https://127.0.0.1:{port}",
        folder=f"{folder.rstrip('/')}/" if folder else "",
        tenant=TENANT,
        rotator=ROTATOR,
        kontrolle=KONTROLLE_PROD,
        reports=SITE_REPORTS_PROD,
        reports_api=SITE_REPORTS_API,
        fieldops=FIELDOPS_PROD,
        screening=SCREENING_CLIENT,
        netwrix=NETWRIX_CLIENT,
        lifetime=pace.lifetime,
        rotate_before=pace.rotate_before,
        grace=pace.grace,
        quarantine=pace.quarantine,
        spacing=pace.spacing,
        deadline=pace.deadline,
    )


def _untouched(config_file: Path) -> bool:
    """Return whether the file is exactly what some earlier start wrote, perhaps for another port."""
    text = config_file.read_text(encoding="utf-8")
    port = re.search(r"https://127\.0\.0\.1:(\d+)", text)
    return port is not None and text == render_config(port=int(port[1]))


_CONFIG = """\
# A configuration that works as it stands, against issuers on this machine.
#
#   rotator sandbox         in one terminal: an Entra-like issuer on $issuer
#   rotator check           in another: is everything reachable and permitted?
#   rotator rotate          create, stage, prove and promote a secret for each credential below
#   rotator status          and what happens next
#
# Relative paths are relative to this file. For an editor's help with every key: rotator config schema
version: 1

state:
  url: sqlite:///${folder}rotator.db       # windows, history and the audit chain; never a secret

stores:
  local:                                   # an encrypted file; needs no server
    kind: embedded
    path: ${folder}secrets
    key: "file:${folder}store-key"         # made on first use
  # vault:                                 # HashiCorp Vault or OpenBao; then `store: {use: vault}` below
  #   kind: vault
  #   address: https://vault.example.com:8200
  #   mount: kv                            # consumers read here
  #   staging_mount: rotator               # only rotator reads here
  #   ca_file: /etc/ssl/certs/internal-ca.pem
  #   auth: {method: approle, role_id: "file:/etc/rotator/role-id", secret_id: "file:/etc/rotator/secret-id"}

providers:
  contoso:
    kind: entra
    tenant: $tenant
    authority: $issuer       # for the real Entra, leave out these three lines
    graph: $issuer/v1.0
    ca_file: ${folder}ca.pem
    auth: {method: certificate, client_id: $rotator, certificate: "file:${folder}graph.pem"}
    # auth: {method: client_secret, client_id: $rotator, client_secret: "file:${folder}graph-secret"}
$partners
# Short, so that something happens while you watch. For real: lifetime 90d, rotate_before 30d, grace 24h; no more.
defaults:
  store: {use: local}
  verify: {proofs: 3, spacing: $spacing, deadline: $deadline}
  policy:
    {lifetime: $lifetime, rotate_before: $rotate_before, grace: $grace, quarantine: $quarantine,
     max_creations: 200, alert_before: [5m]}

credentials:
  - name: kontrolle-plus-prod
    description: Kontrolle+ provider API, production
    owner: integration-team@example.com
    labels: {env: prod, partner: kontrolle-plus}
    provider: {use: contoso, app_id: $kontrolle}
    store: {path: partners/kontrolle-plus/prod}
    verify:
      scope: api://kontrolle-provider/.default
      expect: {aud: api://kontrolle-provider, roles: [ProviderApi.Access], min_lifetime: 5m}

  - name: site-reports-prod                # its fresh secrets are refused for some seconds, as with the real Entra
    description: Site reports API, production
    owner: integration-team@example.com
    labels: {env: prod, partner: site-reports}
    provider: {use: contoso, app_id: $reports}
    store: {path: partners/site-reports/prod}
    verify:
      scope: api://site-reports/.default
      expect: {aud: $reports_api, roles: [Reports.Read], min_lifetime: 5m}
"""

_FIELDOPS = """
  - name: fieldops-prod                    # it was granted another role than the one it needs: nothing is ever promoted
    description: Field operations API, production
    owner: integration-team@example.com
    labels: {env: prod, partner: fieldops}
    provider: {use: contoso, app_id: $fieldops}
    store: {path: partners/fieldops/prod}
    verify:
      scope: api://fieldops/.default
      expect: {aud: api://fieldops, roles: [FieldOps.Write], min_lifetime: 5m}
"""

_PARTNERS = """
  screening-eagle:                         # a vendor with an admin API, described: no code
    kind: http
    base_url: $issuer/console/v1
    ca_file: ${folder}ca.pem
    auth: {method: bearer, token: "file:${folder}console-token"}
    operations:
      create: {request: "POST /clients/{client}/credentials", json: {label: "{tag}", ttlSeconds: "{lifetime_seconds}"},
               secret: /clientSecret, key_id: /id, created_at: /createdAt, expires_at: /expiresAt}
      list: {request: "GET /clients/{client}/credentials", items: /credentials, key_id: /id, tag: /label,
             created_at: /createdAt, expires_at: /expiresAt, next: /nextPage}
      retire: {request: "DELETE /clients/{client}/credentials/{key_id}", expect: [204]}
  access-analyzer:                         # a vendor whose secrets a person makes: rotator intake
    kind: manual
    portal: https://analyzer.example.com:8082
    instructions: Configuration, Applications, Add client secret
    lifetime: 72h
"""

_OF_PARTNERS = """
  - name: screening-eagle-prod
    description: Screening Eagle ID, production
    owner: integration-team@example.com
    labels: {env: prod, partner: screening-eagle}
    provider: {use: screening-eagle, client_id: $screening, with: {client: $screening}}
    store: {path: partners/screening-eagle/prod}
    verify:
      token_url: $issuer/api/id/v1/auth/token
      ca_file: ${folder}ca.pem
      client_auth: client_secret_basic
      scope: reports.read projects.read
      expect: {aud: api://screening-eagle, iss: "$issuer/api/id/v1", scope: [reports.read, projects.read],
               signature: unverified}      # HS256: only the vendor has the key

  - name: netwrix-prod
    description: Netwrix Access Analyzer, production
    owner: integration-team@example.com
    labels: {env: prod, partner: netwrix}
    provider: {use: access-analyzer, client_id: $netwrix}
    store: {path: partners/netwrix/prod}
    verify:
      token_url: $issuer/api/v1/token
      ca_file: ${folder}ca.pem
      expect: {token_type: bearer, refresh_token: works, signature: unverified}
"""
