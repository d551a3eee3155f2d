"""The HTTP surface: one resource per file. It turns requests into typed commands of the station, and its answers back.

Here lives routing, bodies, status codes, the OpenAPI document and the sockets that are listened at.
Not here: rules. What a command does stands in `station`, what it needs (access) in its row there.
"""
