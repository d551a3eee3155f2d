"""What the daemon holds in memory for life is what it needs all the time: the rest is loaded by what needs it.

By names and not by megabytes, which differ with machine and interpreter; docs/benchmarks.md has those.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LAZY = {
    "PIL": "only a picture that is a JPEG or PNG",
    "prometheus_client": "only a scrape",
    "jinja2": "the gateway's",
    "httpcore": "the gateway's",
    "controller.page": "the gateway's",
    "controller.gateway.application": "the gateway's",
    "deepdiff": "only a revision that differs from the one before",
    "packaging": "only who reads a zip",
    "controller.packages.install": "only who reads a zip",
    "controller.packages.archive": "only who reads a zip",
    "unicodedata": "only names of files in a zip",
}
DAEMON = """
import sys
from pathlib import Path
import controller.__main__, controller.daemon
from controller.http.application import application
from controller.packages.deferred import DeferredInstaller
from controller.sources import folder
from controller.station import event_loop
from controller.store.layout import StoreLayout
from controller.store.store import Store

store = Store.at(StoreLayout.at(Path(sys.argv[1])), lambda: "2026-01-31T08:15:00Z")
store.create_folders()
packages = DeferredInstaller(store, lambda: "2026-01-31T08:15:00Z")
assert (packages.sweep(), packages.installations()) == ((), {})
application(None, store.layout)
print(*sys.modules)
"""


def test_a_daemon_at_rest_has_loaded_nothing_that_only_some_requests_need(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", DAEMON, tmp_path], check=True, capture_output=True, text=True)
    loaded = set(run.stdout.split())

    assert {"controller.daemon", "uvicorn", "pydantic"} <= loaded
    assert {name: why for name, why in LAZY.items() if name in loaded} == {}
