"""The same work on this product and on other servers, interleaved in one run: `make bench-peers`.

Here lives one file for each server behind the small port of `peer.py`, the driver that runs such a file inside the
server's own virtual environment, and what puts their turns in order and their figures in tables.
Not here: what is measured against bare mechanisms (`benchmarks/*.py`), and any opinion about a server: who cannot be
installed, started or switched is a row that says why.
"""
