"""What the operating system tells and takes: clocks, process identity, users, sockets, environments, each once.

Here lives every call whose subject is the machine: /proc, pidfds, socket names, what a child process inherits.
Not here: anything that knows a package, a PID, a store or a rollout. Imports `errors` only.
"""
