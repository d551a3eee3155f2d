"""A make-believe station: a folder with a desired tree and a store, and the commands that an operator types there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PVCTL = Path(sys.executable).with_name("pvctl")
PATIENCE = 180.0
"""Seconds after which a command counts as stuck."""
_VERDICT = re.compile(r"\S+: (?P<verdict>\S+) .*?@(?P<version>[^,)\s]+)")


class Unexpected(Exception):
    """Something turned out otherwise than the demo says."""


class Command:
    """One `pvctl` command that was started."""

    def __init__(self, arguments: tuple[str, ...], folder: Path, *, show: bool, leave_out: Sequence[str] = ()) -> None:
        self.line = f"pvctl {shlex.join(arguments)}"
        self._show = show
        self._leave_out = tuple(leave_out)
        self._process = subprocess.Popen(
            [PVCTL, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if show else subprocess.PIPE,
            text=True,
        )

    def finish(self, expect: int) -> str:
        """Wait for its end, show its output, and return it. Raises Unexpected on another exit code, or none at all."""
        try:
            output, errors = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise Unexpected(f"'{self.line}' did not end within {PATIENCE:.0f} s") from None
        output = output.rstrip()
        if self._show and output:
            print(textwrap.indent(self._without_what_is_left_out(output), "  "))
        code = self._process.returncode
        if code != expect:
            hidden = "" if self._show else f"\n{output}\n{errors}"
            raise Unexpected(f"'{self.line}' ended with {code}, not {expect}{hidden}")
        if self._show and expect:
            print(f"  (exit code {code})")
        return output

    def _without_what_is_left_out(self, output: str) -> str:
        """Return the paragraphs of an output but for those that begin with one of the words to leave out."""
        paragraphs = output.split("\n\n")
        return "\n\n".join(each for each in paragraphs if not each.lstrip().startswith(self._leave_out))


class Station:
    """Runs `pvctl` in `folder`, where `desired/` and `runtime_store/` are its defaults, and shows what it says.

    `verbose` shows the whole of it, of every command. `listen` is where the daemon listens besides its socket.
    """

    def __init__(self, folder: Path, *, verbose: bool = False, listen: str = "") -> None:
        self.folder = folder
        self.listen = listen
        self._verbose = verbose
        self.desired = folder / "desired"
        self.store = folder / "runtime_store"
        self.zips = self.store / "algorithms" / "zips"
        self._daemon: subprocess.Popen[bytes] | None = None

    def start_anew(self) -> None:
        """End what an earlier demo left running, and begin with an empty folder."""
        if self.store.is_dir():
            self.run("down", show=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.zips.mkdir(parents=True)
        self.desired.mkdir()

    def end(self) -> None:
        """End what still runs, where the demo failed or was interrupted; why is told elsewhere."""
        self.attempt("down")
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.kill()
            self._daemon.wait()

    def attempt(self, *arguments: str) -> None:
        """Run a command of which it does not matter whether it succeeds."""
        subprocess.run([PVCTL, *arguments], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, check=False)

    def start_daemon(self) -> None:
        """Start `pvctl run` beside this program, with its log in daemon.log."""
        command = ["run", *(["--listen", self.listen] if self.listen else [])]
        print(f"$ pvctl {shlex.join(command)} 2> daemon.log &", flush=True)
        with (self.folder / "daemon.log").open("wb") as log:
            self._daemon = subprocess.Popen(
                [PVCTL, *command],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then ends it with everything else
            )

    def check_daemon(self) -> None:
        """Raise Unexpected where the daemon is not running any more."""
        if self._daemon is not None and self._daemon.poll() is not None:
            raise Unexpected(f"the daemon ended with {self._daemon.returncode}, see {self.folder / 'daemon.log'}")

    def wait_for_daemon(self) -> None:
        """Wait for the daemon's own end. Raises Unexpected where it does not come, or is not a good one."""
        if self._daemon is not None:
            code = self._daemon.wait(PATIENCE)
            demand(code == 0, f"the daemon ended with {code}, see {self.folder / 'daemon.log'}")

    def run(self, *arguments: str, expect: int = 0, show: bool = True, leave_out: Sequence[str] = ()) -> str:
        """Run a command, show it with its output, and return the output. Raises Unexpected on another exit code.

        What is shown are the paragraphs that do not begin with a word of `leave_out`.
        """
        if self._verbose:
            show, leave_out = show or "json" not in arguments, ()
        command = Command(arguments, self.folder, show=show, leave_out=leave_out)
        if show:
            print(f"$ {command.line}", flush=True)
        return command.finish(expect)

    def deployment(self, name: str) -> dict[str, Any]:
        """Return what the status document of the last pass says of a deployment."""
        document = json.loads((self.store / "status.json").read_bytes())
        found: dict[str, Any] = next(each for each in document["deployments"] if each["name"] == name)
        return found

    def detect(self, pid: str, picture: Path, *options: str) -> tuple[str, str]:
        """Run one detection, and return the verdict and the version that gave it, as the command says them."""
        told = self.run("exec", pid, "--image", str(picture.relative_to(self.folder)), *options)
        found = _VERDICT.match(told)
        demand(found is not None, f"`pvctl exec` does not say who gave which verdict: {told}")
        assert found is not None  # noqa: S101  (demanded)
        return found["verdict"], found["version"]

    def wait_for(self, holds: Callable[[], object], what: str) -> None:
        """Wait until `holds`. Raises Unexpected where that does not come, or the daemon has ended."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            self.check_daemon()
            demand(time.monotonic() < deadline, f"{what} did not come within {PATIENCE:.0f} s")
            time.sleep(0.1)


def demand(holds: bool, otherwise: str) -> None:
    """Raise Unexpected with `otherwise` unless `holds`."""
    if not holds:
        raise Unexpected(otherwise)
