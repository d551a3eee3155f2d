"""Judging a version: sequential tests and what they say of rates and comparisons. Numbers in, a verdict out.

Here lives the statistics, with formula and source in `docs/analysis.md`, and the limits of `health:` applied to it.
Not here: where the numbers come from (`rollouts/evidence.py`) and what follows from a verdict (`rollouts/machine.py`).
"""
