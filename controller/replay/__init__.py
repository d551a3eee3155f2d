"""Showing recorded pictures to a version, in processes of its own beside the line, and telling what differs.

Here lives the worker that shows them (`__main__.py`, a process of its own), who begins and ends it, the journal of what
came of each picture, and the reports of it (table, JSON, JUnit, HTML).

Not here: what follows for a rollout (`rollouts/`), and recorded calls themselves (`recordings/`).
"""
