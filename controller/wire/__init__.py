"""The adapter's protocol as pure functions of bytes: frames, messages and which message is legal when.

No I/O, no clock, no event loop: bytes in, messages out, and the other way round (after h11's example).
"""
