"""Declarative delivery of vision algorithms to factory stations: the package behind `pvctl`.

Here live the places that plug the product together (`__main__`, `daemon`), its errors and its log. Imports go downward
only, from floor to floor:

8 `__main__` `daemon`; 7 `cli` `http`; 6 `station`; 5 `reconciler` `calls`; 4 `planning` `processes` `packages`;
3 `rollouts` `sources` `store` `images`; 2 `model` `wire` `client`; 1 `host`; 0 `errors`.

Not here: everything else, which has a package of its own on one of these floors (`docs/architecture.md`).
"""

__version__ = "0.1.0"
