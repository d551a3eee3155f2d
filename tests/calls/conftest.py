"""Calls are tested on the same processes of the scripted adapter as the processes themselves."""

from tests.processes.conftest import layout, make_spec

__all__ = ["layout", "make_spec"]
