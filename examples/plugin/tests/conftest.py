"""Lets a failing promise show what it compared."""

import pytest

pytest.register_assert_rewrite("rotator.testing")
