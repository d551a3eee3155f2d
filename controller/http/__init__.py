"""The HTTP surface: it turns requests into typed commands of the station, and its answers back.

Here live bodies, status codes, the OpenAPI document, the sockets that are listened at and who a caller is (`peers.py`).
`commands.py` serves each command with a plain JSON body from its row alone; one with another body, or a stream, has a
file of its own.
Not here: rules. What a command does stands in `station`, which access it needs in its row there.
"""
