"""Judging a version: what sequential tests say of rates (`rates.py`) and of two shares (`comparison.py`); a verdict.

Here live the rules, with formula and source in `docs/analysis.md`, and the limits of `health:` applied by `judge.py`.
Not here: the state of a test as data (`model/analysis.py`), where numbers come from (`rollouts/evidence.py`), and what
follows from a verdict (`rollouts/machine.py`).
"""
