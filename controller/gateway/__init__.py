"""The gateway: the process of `pvctl run --listen`, between the network and the daemon's socket.

Here live TLS, tokens, sessions of the page, limits, and forwarding to `run/runner.sock`, where calls at the line go:
whatever happens here costs their event loop nothing but the requests that are let through, a bounded number at once.
Not here: resources, rules, and anything that a role may or may not do: the daemon decides that, as for every caller.
"""
