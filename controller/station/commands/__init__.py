"""Every command and query of a station: frozen values, from the words of a command line or the body of a request to the
one place that carries them out.

Here lives one module for each kind, each command with its row (access, routes, OpenAPI entry). No rules.
Not here: what a command does. Nothing is imported that a module does not need: `pvctl status` loads only `status`.
"""
