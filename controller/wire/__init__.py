"""The adapter's protocol as data: frames, messages, and which message is legal when. No I/O, no asyncio, no clock."""
