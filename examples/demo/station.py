"""A make-believe station: a folder with a desired tree and a store, and the commands that an operator types there."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

PVCTL = Path(sys.executable).with_name("pvctl")


class Unexpected(Exception):
    """Something turned out otherwise than the demo says."""


class Station:
    """Runs `pvctl` in `folder`, where `desired/` and `runtime_store/` are its defaults, and shows what it says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.desired = folder / "desired"
        self.zips = folder / "runtime_store" / "algorithms" / "zips"

    def start_anew(self) -> None:
        """End what an earlier demo left running, and begin with an empty folder."""
        if (self.folder / "runtime_store").is_dir():
            self.run("down", show=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.zips.mkdir(parents=True)
        self.desired.mkdir()

    def end(self) -> None:
        """End what still runs, where the demo failed or was interrupted; why is told elsewhere."""
        subprocess.run([PVCTL, "down"], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, check=False)

    def run(self, *arguments: str, expect: int = 0, show: bool = True) -> str:
        """Run a command, show it with its output, and return the output. Raises Unexpected on another exit code."""
        if show:
            print(f"\n$ pvctl {shlex.join(arguments)}", flush=True)
        done = subprocess.run(
            [PVCTL, *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if show else subprocess.PIPE,
            text=True,
            check=False,
        )
        output = done.stdout.rstrip()
        if show and output:
            print(textwrap.indent(output, "  "))
        if done.returncode != expect:
            hidden = "" if show else f"\n{output}\n{done.stderr}"
            raise Unexpected(f"'pvctl {shlex.join(arguments)}' ended with {done.returncode}, not {expect}{hidden}")
        if show and expect:
            print(f"  (exit code {done.returncode})")
        return output

    def status(self) -> dict[str, Any]:
        """Return the status document, without a word."""
        document: dict[str, Any] = json.loads(self.run("-o", "json", "status", show=False))
        return document

    def detect(self, pid: str, picture: Path, *options: str) -> dict[str, Any]:
        """Run one detection, show its verdict in a line, and return the whole answer."""
        arguments = ["exec", pid, "--image", str(picture.relative_to(self.folder)), *options]
        print(f"\n$ pvctl {shlex.join(arguments)}", flush=True)
        answer: dict[str, Any] = json.loads(self.run("-o", "json", *arguments, show=False))
        data = answer["data"]
        rectangles = ", ".join("{x},{y} {width}x{height}".format_map(rect) for rect in data["defect_rects"])
        told = [data["result_status"], data.get("ng_reason", ""), f"[{rectangles}]" if rectangles else ""]
        print(
            f"  {'  '.join(filter(None, told))}  by {answer['name']} {answer['version']}, {answer['latency_ms']:.0f} ms"
        )
        return answer


def demand(holds: bool, otherwise: str) -> None:
    """Raise Unexpected with `otherwise` unless `holds`."""
    if not holds:
        raise Unexpected(otherwise)
