"""What every test may use; the servers behind the fixtures are started when the first test asks for one."""

from __future__ import annotations

pytest_plugins = ["tests.servers.vault_server"]
