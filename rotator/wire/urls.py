"""Which addresses a secret may be sent to, and what may be said of one. Pure; asks nobody."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit


def url_fault(url: str, *, plain_http: bool) -> str | None:
    """Return why a secret, or trust in a key, may not go to this URL; None when it may.

    plain_http: whether http is allowed to other machines; to this one it is in any case.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        return "contains characters that a URL must have encoded"
    parts = _split(url)
    if parts is None or not parts.hostname:
        return "is no URL with a host"
    if "@" in parts.netloc:
        return "contains a user name or a password"
    if parts.fragment:
        return "has a fragment"
    if parts.scheme == "https":
        return None
    if parts.scheme == "http" and (plain_http or _loopback(parts.hostname)):
        return None
    return "must begin with https://"


def host_of(url: str) -> str:
    """Return host and port of a URL for a message."""
    parts = _split(url)
    if parts is None or not parts.hostname:
        return "an unreadable address"
    return parts.netloc.rpartition("@")[2]


def proxy_fault(proxy: str) -> str | None:
    """Return why a proxy may not be used; None when it may."""
    parts = _split(proxy)
    if parts is None or not parts.hostname:
        return "is no URL with a host"
    if "@" in parts.netloc:
        return "contains a user name or a password, which no configuration may hold"
    if parts.scheme != "http":
        return "must begin with http:// (what passes through the proxy is TLS in any case)"
    return None


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError for a port that is no port
    except ValueError:
        return None
    return parts


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
