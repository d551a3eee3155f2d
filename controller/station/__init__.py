"""The one typed surface of a station: every command and query with its result and the access that it needs.

Here lives the port that the command line and the HTTP surface speak to. A command is a value in `commands/`; its row
has its access (viewer, operator or admin), which `port.require_access` checks. It is carried out by the station in a
daemon (`local.py`), one without a daemon (`offline.py`) or another process's (`remote.py`).
Not here: parsing and printing (`cli`, `http`), and decisions about rollouts (`rollouts`, `planning`).
"""
