"""What the operating system tells and takes: clocks, users, process identity, sockets, terminals, the service
manager, children.

Here lives each of these once; and how code of a package is executed, whoever starts it: `execution.package_execution`
says with which environment, and is where a sandbox would go.
Not here: anything that knows a zip, a deployment, a rollout or a store's files. Standard library and `errors` only.
"""
