"""What the daemon holds in memory for life is what it needs all the time: the rest is loaded by what needs it.

By names and not by megabytes, which differ with machine and interpreter; docs/benchmarks.md has those.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LAZY = {
    "PIL": "only a picture that is a JPEG or PNG",
    "numpy": "only a picture that is to be converted",
    "prometheus_client": "only a scrape",
    "jinja2": "the gateway's",
    "httpcore": "the gateway's",
    "controller.page": "the gateway's",
    "controller.gateway.application": "the gateway's",
    "sqlite3": "only who looks at recorded calls",
    "controller.recordings.drawing": "only a job of recordings",
    "deepdiff": "only a revision that differs from the one before",
    "packaging": "only who reads a zip",
    "controller.packages.install": "only who reads a zip",
    "controller.packages.archive": "only who reads a zip",
    "unicodedata": "only names of files in a zip",
    "controller.http.openapi": "only `make openapi`: the daemon has the file",
    "controller.client.blocking": "only who calls a daemon",
    "click": "uvicorn's command line",
    "multiprocessing": "uvicorn's command line",
    "difflib": "only a mistake",
}
DAEMON = """
import asyncio, sys
from pathlib import Path
import controller.__main__, controller.daemon
from controller.http.application import application
from controller.http.openapi_file import OpenApiFile
from controller.http.server import SocketServer
from controller.packages.deferred import DeferredInstaller
from controller.sources import folder
from controller.station import event_loop
from controller.store.layout import StoreLayout
from controller.store.store import Store

store = Store.at(StoreLayout.at(Path(sys.argv[1])), lambda: "2026-01-31T08:15:00Z")
store.create_folders()
packages = DeferredInstaller(store, lambda: "2026-01-31T08:15:00Z")
assert (packages.sweep(), packages.installations()) == ((), {})

async def serve():
    server = SocketServer(application(None, store.layout), store.layout)
    await server.start()
    assert (await OpenApiFile().openapi(None)).body.startswith(b"{")
    await server.stop(1.0)

asyncio.run(serve())
print(*sys.modules)
"""
GATEWAY = "import controller.gateway.__main__, sys; print(*sys.modules)"


def test_a_daemon_at_rest_has_loaded_nothing_that_only_some_requests_need(tmp_path: Path) -> None:
    loaded = _loaded(DAEMON, tmp_path)
    assert {"controller.daemon", "uvicorn.server", "pydantic"} <= loaded
    assert {name: why for name, why in LAZY.items() if name in loaded} == {}


def test_a_gateway_has_loaded_nothing_of_a_daemon() -> None:
    loaded = _loaded(GATEWAY)
    assert {"controller.page", "uvicorn.server"} <= loaded
    assert (
        loaded & {"click", "multiprocessing", "prometheus_client", "watchdog", "yaml", "controller.reconciler"} == set()
    )


def test_uvicorn_is_whole_for_whoever_imports_it_after_us() -> None:
    loaded = _loaded("import controller.http.server, uvicorn, sys; uvicorn.main, uvicorn.Server; print(*sys.modules)")
    assert {"uvicorn", "click"} <= loaded


def _loaded(program: str, *arguments: Path) -> set[str]:
    run = subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True)
    return set(run.stdout.split())
