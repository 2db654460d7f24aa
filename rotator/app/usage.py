"""What a person typed that cannot be meant; it judges no configuration and no state."""

from __future__ import annotations

from rotator.errors import RotatorError


class UsageFault(RotatorError):
    """The command line names what does not exist, or contradicts itself."""

    code = "usage"
    exit_status = 2
