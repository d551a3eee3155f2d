"""The one typed surface of a station: every command and query with its result and the access that it needs.

Here lives the port that the command line, the HTTP surface and the fleet speak to, and what carries each command out.
Not here: parsing and printing (`cli`, `http`), and decisions about rollouts (`rollouts`, `planning`).
"""
