"""Recorded calls: pictures in files, an index that can be made again from them, and files to take away.

Here lives the format of a recorded call on disk, what is kept of them, the process that writes them beside the line,
and their export.

Not here: which calls are recorded (`calls/recording.py`), and showing them to another version (`replay/`).
"""
