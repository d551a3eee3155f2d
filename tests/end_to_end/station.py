"""A station as an operator has it: a desired folder, a store, and `pvctl` as a separate process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.builders import deployment
from tests.waiting import HANGS

PVCTL = Path(sys.executable).with_name("pvctl")


class Station:
    """Runs `pvctl` against one desired folder and one store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.desired = root / "desired"
        self.store = root / "runtime_store"
        self.zips = self.store / "algorithms" / "zips"
        self.desired.mkdir(parents=True)
        self.zips.mkdir(parents=True)

    def command(self, *arguments: str | Path) -> list[str]:
        return [str(PVCTL), "--desired", str(self.desired), "--store", str(self.store), *map(str, arguments)]

    def pvctl(self, *arguments: str | Path, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command; fail unless it exits with `expect` (None: whatever it exits with) and without a traceback."""
        done = subprocess.run(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=HANGS,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if expect is not None:
            assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str | Path, expect: int | None = 0) -> Any:
        """Run a command and return what it prints as JSON."""
        return json.loads(self.pvctl("-o", "json", *arguments, expect=expect).stdout)

    def reconcile(self, expect: int | None = 0) -> Any:
        return self.json("reconcile", "--once", expect=expect)

    def execute(self, pid: str, image: Path, *arguments: str, expect: int | None = 0) -> Any:
        return self.json("exec", pid, "--image", image, *arguments, expect=expect)

    def desire(self, file: str, package: str, version: str, pids: Iterable[str], **spec: Any) -> Path:
        """Write one deployment, named like its file."""
        document = deployment(file, version, *pids, package=package, **spec)
        path = self.desired / f"{file}.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    def order(self, **spec: Any) -> None:
        """Write the station's policy."""
        document = {"apiVersion": "procvision.dev/v1", "kind": "StationPolicy", "metadata": {"name": "default"}}
        (self.desired / "policy.yaml").write_text(yaml.safe_dump({**document, "spec": spec}))

    def active(self, pid: str) -> dict[str, str]:
        document: dict[str, str] = json.loads((self.store / "active" / f"{pid}.json").read_text())
        return document

    def mapped(self, pid: str) -> str | None:
        """Return the version that a PID is on; None where it has none."""
        try:
            return self.active(pid)["version"]
        except FileNotFoundError:
            return None

    def times(self) -> dict[str, int]:
        """Return when each file under active/, deployed/ and registry.json was last written."""
        places = [self.store / "active", self.store / "algorithms" / "deployed", self.store / "registry.json"]
        paths = [path for place in places for path in (place, *place.rglob("*"))]
        return {str(path): path.lstat().st_mtime_ns for path in paths}

    def processes(self) -> list[psutil.Process]:
        """Return every living process that was started from this store: adapters, shims and their children."""
        found = []
        for process in psutil.process_iter():
            try:
                belongs = any(str(self.store) in part for part in (*process.cmdline(), *process.environ().values()))
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if belongs and process.status() != psutil.STATUS_ZOMBIE and process.pid != psutil.Process().pid:
                found.append(process)
        return found

    def wait_until_gone(self, seconds: float = HANGS) -> list[psutil.Process]:
        """Return the processes that are still there after waiting for them to end."""
        _, alive = psutil.wait_procs(self.processes(), timeout=seconds)
        return alive
