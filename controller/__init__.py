"""Declarative delivery of vision algorithms to factory stations: the package behind `pvctl`.

Here live the places that plug the product together (`__main__`, `daemon`), its errors and its log.
Not here: everything else, which has a package of its own on one of the floors of `docs/architecture.md`.
"""

__version__ = "0.1.0"
