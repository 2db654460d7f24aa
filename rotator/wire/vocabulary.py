"""Words of a vendor's description that the configuration and the provider share. Pure."""

from __future__ import annotations

from enum import StrEnum


class TimeFormat(StrEnum):
    """How a vendor writes when a version ends."""

    RFC3339 = "rfc3339"
    EPOCH = "epoch"  # seconds since 1970
    SECONDS = "seconds"  # from now
    NONE = "none"  # it says nothing, or means that there is no end


class Alphabet(StrEnum):
    """Which characters a value that we choose is made of."""

    BASE64URL = "base64url"
    ALPHANUMERIC = "alphanumeric"
    HEX = "hex"


class ErrorClass(StrEnum):
    """Who must act on an error; see `rotator.errors`."""

    TRANSIENT = "transient"
    REFUSED = "refused"
    DENIED = "denied"
    NO_FREE_SLOT = "no_free_slot"
