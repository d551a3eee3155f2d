"""The examples of docs/http-api.md: taken out of the document and run in its order, by curl on a real station."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.recordings.keeping import keeper
from controller.store.layout import StoreLayout
from examples.packing import OK, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import PVCTL, Station
from tests.end_to_end.test_asking import picture
from tests.gateway.test_tls import make_certificate
from tests.recorded import pictures, recorded
from tests.system import requires
from tests.waiting import HANGS

pytestmark = [pytest.mark.real, requires("curl")]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "http-api.md"
OPERATION = "20260131T081500-install-1f3a9c02"
"""What the document writes for the id of an operation."""
RECORDED = "20260131081500123-1f3a9c02ab"
"""The recorded call of which the document speaks."""
CANARY = {"steps": [{"setWeight": 50}, {"pause": {}}], "analysis": {"minSamples": 1}}
NOTHING_BUT_AN_OPERATION = {"id", "kind", "state", "progress"}


def of(said: str) -> Any:
    return json.loads(said)


def moved(said: str) -> list[tuple[str, str]]:
    return [(each["pid"], each["outcome"]) for each in of(said)["pids"]]


def event(kind: str, said: str) -> Any:
    """What the first event of a kind has to say."""
    found = re.search(rf"^event: {kind}\ndata: (.*)$", said, re.MULTILINE)
    assert found is not None, said
    return json.loads(found[1])[kind]


ANSWERS: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("http://station/v1/whoami", lambda said: of(said)["access"] == "admin"),
    ("https://station:8443/v1/whoami", lambda said: of(said) == {
        "name": "token:line-a", "access": "operator", "recordings": False
    }),
    ("/algorithms/validate", lambda said: of(said)["valid"] and {
        each["state"] for each in of(said)["checks"]
    } == {"passed", "not_reached"}),
    ("text/event-stream", lambda said: event("progress", said) and event("outcome", said)["version"] == "1.1.0"),
    ("/algorithms?name=screw-check", lambda said: {
        each["version"]: each["state"] for each in of(said)["algorithms"]
    } == dict.fromkeys(("1.0.0", "1.1.0", "1.2.0"), "installed")),
    ("/algorithms/activate", lambda said: moved(said) == [("A01", "switched")]),
    ("/v1/pids/A01/execute", lambda said: (of(said)["status"], of(said)["version"]) == ("OK", "1.1.0")),
    ("/algorithms/switch", lambda said: moved(said) == [("A01", "switched")]),
    ("/algorithms/active", lambda said: {
        each["pid"]: (each["version"], each["deployment"]) for each in of(said)["active"]
    } == {"A01": ("1.2.0", None), "B01": ("1.2.0", "screws"), "B02": ("1.0.0", "screws")}),
    ("-X DELETE", lambda said: of(said)["error"]["code"] == 2007),
    ("/algorithms/install", lambda said: of(said).keys() >= NOTHING_BUT_AN_OPERATION),
    (f"/v1/operations/{OPERATION}", lambda said: of(said)["kind"] == "install"),
    (f"/v1/operations/{OPERATION}/events", lambda said: event("outcome", said)["version"] == "1.1.0"),
    ("/v1/operations?state=running", lambda said: of(said) == []),
    ("/v1/deployments/screws/promote", lambda said: "screws" in of(said)["message"]),
    ("/v1/status", lambda said: {each["name"] for each in of(said)["deployments"]} == {"screws"}),
    ("/v1/deployments/screws", lambda said: of(said)["pids"] == ["B01", "B02"]),
    ("/v1/audit", lambda said: {each["object"] for each in of(said)["rows"]} == {"pid/A01"}),
    ("/v1/history/A01", lambda said: [each["version"] for each in of(said)] == ["1.1.0", "1.2.0"]),
    ("/v1/logs/screws", lambda said: "==> 1.0.0-0 <==" in said and "==> 1.2.0-0 <==" in said),
    ("/v1/logs/A01?follow=true", lambda said: said.endswith("\n")),
    ("/v1/logs/controller", lambda said: "listening at" in said),
    ("/v1/events", lambda said: "retry: " in said),
    ("/v1/recordings?pid=A01", lambda said: [each["id"] for each in of(said)["rows"]] == [RECORDED]),
    (f"/v1/recordings/{RECORDED}", lambda said: of(said)["version"] == "1.0.0"),
    ("/page > part.html", lambda said: said == ""),
    ("/picture > part.png", lambda said: said == ""),
    ("/v1/recordings/export", lambda said: said == ""),
    ("/v1/recordings/import", lambda said: of(said)["already_there"] == 1),
    ("/v1/recordings/delete", lambda said: of(said)["deleted"] == 0),
    ("/v1/deployments/screws/replay", lambda said: (of(said)["package"], of(said)["compared"]) == (
        "screw-check@1.2.0", 1
    )),
)  # fmt: skip
"""What each example has in it, in the order of the document, and what must hold of its answer."""
ENDLESS = ("follow=true", "/v1/events")


def commands() -> list[str]:
    """Each command of the document's shell blocks on one line, those that only define something too."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.fixture
def daemon(station: Station) -> Iterator[Daemon]:
    """What the document takes for granted: a zip and a picture to send, a canary that waits, and TLS by `station`."""
    pids = ("A01", "B01", "B02")
    for folder, version in ((station.zips, "1.0.0"), (station.zips, "1.2.0"), (station.root, "1.1.0")):
        build_package(folder, name="screw-check", version=version, source=OK, supported_pids=pids)
    picture(station)
    certificate, key = make_certificate(station.root, "station")
    station.desire("screws", "screw-check", "1.0.0", pids[1:])
    with keeper(StoreLayout.at(station.store)) as kept:
        at = {"at": "2026-01-31T08:15:00.123000Z", "epoch": 1769847300.123}
        kept.add(recorded(id=RECORDED, **at), pictures())
    daemon = Daemon(station)
    daemon.arguments = ("--listen", "127.0.0.1:0", "--tls-cert", str(certificate), "--tls-key", str(key))
    daemon.start()
    daemon.until(lambda status: status["converged"], "convergence")
    station.desire("screws", "screw-check", "1.2.0", pids[1:], strategy={"canary": CANARY})
    daemon.until(lambda status: status["deployments"][0]["phase"] == "Paused", "the pause")
    yield daemon
    daemon.leave_nothing()


class Shell:
    """Runs commands where an operator would type them; what one of them defines, the next ones have."""

    def __init__(self, daemon: Daemon) -> None:
        self._folder = daemon.station.root
        port = daemon.status()["daemon"]["listen"].rpartition(":")[2]
        (self._folder / ".curlrc").write_text(f'connect-to = "station:8443:127.0.0.1:{port}"\n')
        path = f"{PVCTL.parent}:{os.environ['PATH']}"
        self._environment = {**os.environ, "PATH": path, "CURL_HOME": str(self._folder)}
        self._defined = ""

    def define(self, command: str) -> None:
        self._defined += f"{command}\n"

    def keep(self, name: str, command: str) -> None:
        """Run an assignment, and have its value from now on."""
        self._environment[name] = self.run(f'{command}\nprintf %s "${name}"')

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", self._defined + command], cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=HANGS, check=True,
        )  # fmt: skip
        return done.stdout

    def run_until(self, holds: Callable[[str], object], command: str) -> str:
        """Return what was said by a command that does not end, once it holds."""
        script = ["timeout", str(HANGS), "bash", "-c", self._defined + command]
        said = ""
        with subprocess.Popen(script, cwd=self._folder, env=self._environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            while (piece := os.read(process.stdout.fileno(), 65536)) and not holds(said := said + piece.decode()):
                pass
            process.terminate()
        return said


def test_the_examples_of_the_document_are_answered_as_it_says(daemon: Daemon) -> None:
    shell, operation = Shell(daemon), ""
    expected = iter(ANSWERS)
    for command in commands():
        if command.startswith("api()"):
            shell.define(command)
            continue
        if named := re.match(r"([A-Z]+)=", command):
            shell.keep(named[1], command)
            continue
        part, holds = next(expected, ("", bool))
        assert part in command, "an example of which this test does not know what must hold"
        endless = any(each in command for each in ENDLESS)
        told = command.replace(OPERATION, operation)
        said = shell.run_until(holds, told) if endless else shell.run(told)
        assert holds(said), f"{told}\n{said}"
        if part == "/algorithms/install":
            operation = of(said)["id"]
            daemon.station.pvctl("operations", operation, "--follow")
    assert next(expected, None) is None, "the document has fewer examples than this test expects"
    here = daemon.station.root
    assert [(here / name).read_bytes()[:4] for name in ("part.html", "part.png", "screws.zip")] == [
        b"<!DO", b"\x89PNG", b"PK\x03\x04",
    ]  # fmt: skip
