"""The adapter's protocol as pure functions of bytes: frames, messages and which message is legal when.

Here lives what the SDK's adapter reads and writes, of both generations: bytes in, messages out, and the other way.
Not here: I/O, clocks, an event loop (after h11's example).
"""
