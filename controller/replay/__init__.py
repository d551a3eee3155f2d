"""Showing recorded pictures to a version, in processes of its own beside the line, and telling what differs.

Here lives the run, its matrix, and its reports (table, JSON, JUnit, HTML).

Not here: what follows for a rollout (`rollouts/`), and recorded calls themselves (`recordings/`).
"""
