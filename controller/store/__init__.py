"""The files of `runtime_store/`: where they are, how they are written durably, locked, read back and verified.

No decisions live here: what to write is decided by the floors above.
"""
