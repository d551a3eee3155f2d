"""A package's virtual environment, made by uv from the package's own wheels, without a network.

uv's words about what went wrong become the codes of the contract here.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uv

from controller.errors import Code, PackageError, StoreError
from controller.host.conditions import host_error, host_error_in, shortage_in
from controller.host.environment import clean_environment
from controller.packages.interpreters import Interpreter
from controller.packages.leftovers import mark
from controller.packages.requirements import PinnedRequirement
from controller.packages.sharing import separate

_TAIL_LINES = 20
_DISK = re.compile(r"\(os error (?:5|13|28|30|122)\)")  # EIO, EACCES, ENOSPC, EROFS, EDQUOT
_REQUIRES_PYTHON = re.compile(r"does not satisfy Python|requires Python|Python version", re.IGNORECASE)
_TAGS = re.compile(r"no wheels? with a matching|(?:Python|platform|ABI) tag", re.IGNORECASE)
_NOT_FOUND = re.compile(r"([\w.\[\]-]+) was not found|there (?:is|are) no versions? of ([\w.\[\]-]+)")


@dataclass(frozen=True, slots=True)
class Uv:
    """uv at work in one staging folder, with one cache. `deadline_s` bounds each of its steps, in seconds."""

    staging: Path
    cache: Path
    deadline_s: float

    def make_venv(self, target: Path, interpreter: Interpreter) -> None:
        """Make an empty relocatable environment. Raises PackageError 2005 or StoreError."""
        self._run(["venv", "--relocatable", "--no-project", "--python", interpreter.executable, str(target)])

    def install(self, venv: Path, requirements: Path, wheel_folders: Iterable[Path]) -> None:
        """Install a requirements file from the given folders of wheels; see `sharing` for what stays linked.

        Raises:
            PackageError: 2004 a dependency has no wheel, 2003 its wheels are for another Python, 2005 anything else.
            StoreError: the disk failed.
        """
        # As URLs: in a path `#` and `,` mean something to it.
        sources = [argument for folder in wheel_folders for argument in ("--find-links", folder.as_uri())]
        command = [
            "pip", "install", "--no-index", "--no-build", "--link-mode", "hardlink", *sources,
            "--python", str(venv / "bin" / "python"), "-r", str(requirements),
        ]  # fmt: skip
        self._run(command)
        if spoilt := separate(venv):
            forget_projects(self.cache, spoilt)
            self._run([*command, *(argument for name in spoilt for argument in ("--reinstall-package", name))])
            separate(venv)

    def _run(self, arguments: list[str]) -> None:
        command = [
            uv.find_uv_bin(), *arguments, "--quiet", "--offline", "--no-config", "--no-python-downloads",
            "--cache-dir", str(self.cache),
        ]  # fmt: skip
        environment = clean_environment() | {"UV_NO_WRAP": "1", "NO_COLOR": "1"} | mark(self.staging)
        try:
            done = subprocess.run(
                command, cwd=self.staging, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", timeout=self.deadline_s, check=False,
            )  # fmt: skip
        except OSError as error:
            raise host_error("run uv (where it is missing, install procvision-controller again)", error) from error
        except subprocess.TimeoutExpired as error:
            raise StoreError(
                f"building the environment in {self.staging} took more than {self.deadline_s:g} s",
                next_step="check the disk, or raise spec.limits.buildTimeout of the StationPolicy",
            ) from error
        if done.returncode < 0:
            raise ended_by_signal(f"uv, which builds the environment in {self.staging},", -done.returncode)
        if done.returncode != 0:
            raise _judge(done.stderr + done.stdout)


def ended_by_signal(who: str, number: int) -> StoreError:
    """Return the error for a process that somebody else ended: never the package's fault."""
    out_of_memory = "check the machine's memory (`dmesg` tells of the OOM killer) and who sends signals"
    return StoreError(f"{who} was ended by {signal.Signals(number).name}", next_step=out_of_memory)


def forget_projects(cache: Path, names: Sequence[str]) -> None:
    """Drop what uv unpacked of these projects from the cache. It is only a cache: what fails is left for next time."""
    command = [uv.find_uv_bin(), "cache", "clean", "--cache-dir", str(cache), "--no-config", "--offline", *names]
    subprocess.run(command, env=clean_environment(), capture_output=True, check=False, stdin=subprocess.DEVNULL)


def write_requirements(path: Path, requirements: Iterable[PinnedRequirement]) -> None:
    """Write the requirements in the spelling that was checked: no byte-order mark, no options."""
    path.write_text("".join(f"{pinned.line}\n" for pinned in requirements), encoding="utf-8")


def _judge(output: str) -> PackageError | StoreError:
    tail = [line.rstrip() for line in output.strip().splitlines()[-_TAIL_LINES:]]
    words = re.sub(r"\s+", " ", " ".join(line.strip(" ×╰─▶│\t") for line in tail))
    details = {"output": tail}
    if shortage_in(output):
        return host_error_in("build the environment", words)
    if _DISK.search(output):
        return StoreError(
            f"cannot build the environment: {words}", next_step="check the disk, its free space and permissions"
        )
    if _TAGS.search(words) or _REQUIRES_PYTHON.search(words):
        return PackageError(Code.incompatible_python, words, next_step="pack it for this Python", details=details)
    if match := _NOT_FOUND.search(words):
        name = match.group(1) or match.group(2)
        return PackageError(
            Code.wheels_missing,
            f"{name} has no wheel in the package that would do: {words}",
            next_step="add it to wheels/ and pack again",
            details=details,
        )
    return PackageError(
        Code.install_failed, f"uv could not build the environment: {words}", next_step="correct wheels/ and pack again",
        details=details,
    )  # fmt: skip
