"""The files of `runtime_store/`: where they are, how they are written durably, locked, read back and verified.

Here lives every file format of the store, the words on disk included, and the only code that replaces its files.
Not here: decisions. What to write is decided by the floors above.
"""
