"""Declarative delivery of vision algorithms to factory stations: the package behind `pvctl`."""

__version__ = "0.1.0"
