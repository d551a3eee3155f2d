"""uvicorn's server without its command line, which the package imports: click and multiprocessing, 1.8 MB for life.

The package is there but not executed until it is asked for a name, as by `importlib.util.LazyLoader`, which would
execute it for its parts, too. So whoever imports `uvicorn` elsewhere has it whole.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec


def _defer() -> None:
    spec = find_spec("uvicorn")
    if "uvicorn" in sys.modules or spec is None or spec.loader is None:
        return
    package, execute = module_from_spec(spec), spec.loader.exec_module

    def ask(name: str) -> object:
        if name == "Config":  # its own parts ask for that
            return import_module("uvicorn.config").Config
        del package.__getattr__
        execute(package)
        return getattr(package, name)

    package.__getattr__ = ask  # type: ignore[method-assign]
    sys.modules["uvicorn"] = package


_defer()

from uvicorn.config import Config  # noqa: E402
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle  # noqa: E402
from uvicorn.server import Server, ServerState  # noqa: E402

__all__ = ["STATUS_LINE", "Config", "HttpToolsProtocol", "RequestResponseCycle", "Server", "ServerState"]
