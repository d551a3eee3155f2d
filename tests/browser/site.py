"""A station whose page is served: real packages, a real daemon with its gateway, and a load of calls."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from controller.client import Client
from examples.packing import Algorithm, build_package
from tests.end_to_end.load import Load
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.roomy import with_room
from tests.waiting import eventually

PIDS = ("A01", "A02", "A03", "A04")
WIDTH, HEIGHT = 640, 480
DEFECT = {"x": 64, "y": 96, "width": 128, "height": 192, "label": "dark spot", "score": 0.93}
"""In pixels of the picture: from a tenth to three tenths of its width, from a fifth to three fifths of its height."""
_JUDGE = f"""
if float(image.mean()) >= 100:
    return ok()
return {{"status": "OK", "data": {{"result_status": "NG", "ng_reason": "too dark", "defect_rects": [{DEFECT!r}]}}}}
"""
GOOD = Algorithm(body=_JUDGE)
"""OK on a bright picture; NG with one defect on a dark one."""
BAD = Algorithm(
    top="CALLS = [0]",
    body=f"CALLS[0] += 1\nif CALLS[0] % 2:\n    return error('lamp is off')\n{_JUDGE}",
)
"""ERROR to every second call: passes everything that can be checked before traffic."""
BRIGHT, DARK = (np.full((HEIGHT, WIDTH, 3), level, np.uint8) for level in (200, 30))
STEPS: Mapping[str, Any] = {
    "strategy": {
        "canary": {
            "order": ["A04"],
            "critical": ["A01"],
            "steps": [{"setWeight": 25}, {"pause": {}}],
            "analysis": {"minSamples": 5},
        }
    },
    "health": {"errorRate": {"max": "5%", "minSamples": 5}},
}
"""A04 goes first and waits for somebody's word."""


class Site:
    """The station, its daemon, and where its page is. The address stays the same over restarts."""

    def __init__(self, root: Path) -> None:
        self.station = Station(root)
        self.daemon = Daemon(self.station)
        self.address = f"127.0.0.1:{_free_port()}"
        self.daemon.confined = lambda command: [*with_room(command), "--listen", self.address]
        self.sessions: dict[str, Any] = {}
        """Cookies of who has logged in, by role."""
        self._tokens: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def pack(self, *versions: str, bad: Iterable[str] = (), pids: Iterable[str] = PIDS) -> None:
        """Put packages of these versions, and of the bad ones, where the station finds them."""
        for version, source in (*((each, GOOD) for each in versions), *((each, BAD) for each in bad)):
            build_package(self.station.zips, name="screws", version=version, source=source, supported_pids=tuple(pids))

    def desire(self, version: str, pids: Iterable[str] = PIDS, **spec: Any) -> None:
        """Want a version on some PIDs, with a canary on A04 unless told otherwise."""
        self.station.desire("line", "screws", version, pids, **(spec or STEPS))

    def start(self) -> None:
        """Start the daemon, and wait until it can answer, at its address too."""
        self.daemon.start()
        eventually(self._listens, "the page")

    def _listens(self) -> bool:
        host, port = self.address.split(":")
        try:
            socket.create_connection((host, int(port))).close()
        except ConnectionRefusedError:
            return False
        return True

    def until_active(self, version: str, pids: Iterable[str] = PIDS) -> None:
        for pid in pids:
            self.daemon.until_active(pid, version)

    def call(self, pid: str, image: np.ndarray[Any, Any]) -> None:
        """Send one detection, with the picture as an upload: what is shared may be gone before it can be shown."""
        file = io.BytesIO()
        Image.fromarray(image).save(file, "png")
        with Client(store=self.station.store, retry_busy=True) as client:
            client.execute(pid, file.getvalue())

    def load(self, pids: Iterable[str] = PIDS, *images: np.ndarray[Any, Any]) -> Load:
        """Return callers on some PIDs, to be entered."""
        chosen = tuple(pids)
        return Load(self.station.store, chosen, images or [BRIGHT], callers=len(chosen), pace=0.05)

    def token(self, role: str) -> str:
        """Return the secret of the token of this role, which is made when it is asked for first."""
        if role not in self._tokens:
            self._tokens[role] = self.new_token(role, role)
        return self._tokens[role]

    def new_token(self, name: str, role: str) -> str:
        secret: str = self.station.json("token", "create", name, "--role", role)["token"]
        return secret

    def audited(self, action: str) -> list[dict[str, Any]]:
        """Return the audit's rows of an action that was done, oldest first."""
        lines = (self.station.store / "logs" / "audit.jsonl").read_text(encoding="utf-8").splitlines()
        return [row for row in map(json.loads, lines) if (row["action"], row["outcome"]) == (action, "succeeded")]

    def end(self) -> None:
        """Leave nothing of it running."""
        self.daemon.leave_nothing()
        self.station.pvctl("down", expect=None)
        assert self.station.wait_until_gone() == []


def _free_port() -> int:
    with socket.socket() as channel:
        channel.bind(("127.0.0.1", 0))
        port: int = channel.getsockname()[1]
        return port
