"""What every test may use; the servers behind the fixtures are started when the first test asks for one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("rotator.testing")

# A machine that is busy with something else is no fault of the code: no example has a time limit.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

pytest_plugins = ["tests.servers.keycloak_server", "tests.servers.vault_server"]
