"""The store of a test's own, as the end-to-end tests have it."""

from tests.end_to_end.conftest import station

__all__ = ["station"]
