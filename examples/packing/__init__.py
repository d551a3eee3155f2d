"""Packs algorithms into the offline zips that a station installs: for the examples, the benchmarks and the tests.

Here lives everything that calls the SDK's own packager, and the algorithms that tests need in both generations.
Not here: anything of the controller.
"""

from examples.packing.algorithms import (
    BRIGHTNESS,
    CRASHES,
    ECHO,
    ERROR,
    IMPORT_DIES,
    IMPORT_EXITS,
    IMPORT_RAISES,
    NEVER_READY,
    NOT_AN_ALGORITHM,
    OK,
    PARSES_ARGUMENTS,
    PRINTS,
    RAISES,
    SERVED,
    SETUP_HANGS,
    SETUP_RAISES,
    SHADOWS_STDOUT,
    SLEEPS,
    SPAWNS,
    Algorithm,
)
from examples.packing.building import build_package
from examples.packing.projects import ALGORITHMS, pack, projects
from examples.packing.tools import ABI, CACHE, PYTHON_VERSION, Generation, make_wheel, packager, sdk_wheels

__all__ = [
    "ABI", "ALGORITHMS", "BRIGHTNESS", "CACHE", "CRASHES", "ECHO", "ERROR", "IMPORT_DIES", "IMPORT_EXITS",
    "IMPORT_RAISES", "NEVER_READY", "NOT_AN_ALGORITHM", "OK", "PARSES_ARGUMENTS", "PRINTS", "PYTHON_VERSION", "RAISES",
    "SERVED", "SETUP_HANGS", "SETUP_RAISES", "SHADOWS_STDOUT", "SLEEPS", "SPAWNS", "Algorithm", "Generation",
    "build_package", "make_wheel", "pack", "packager", "projects", "sdk_wheels",
]  # fmt: skip
