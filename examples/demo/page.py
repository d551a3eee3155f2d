"""The last act of `make demo PAGE=1`: the station goes on, with its page, for a newcomer to look at and click."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from examples.demo.load import Load, Pace
from examples.demo.stage import Stage
from examples.demo.station import Station
from examples.packing import ALGORITHMS, pack
from examples.parts import PARTS, draw_part

GOOD, BAD = "1.3.0", "1.4.0"
"""Two more versions: 1.1.0 again, and 1.2.0 with its errors, for the newcomer to try."""
PREFERRED_PORT = 8480
TOKEN, EXPIRES = "demo", "4h"
LOOK = 0.5
"""Seconds between two looks whether the daemon still runs."""
TRY = """
The page:  http://{address}/
Token:     {token}
           (role operator, shown once; it is revoked when this demo ends, and expires in {expires} in any case)

What to try there:
  - {good} waits on A04 for your word: open surface-scratch, and promote it, or abort it.
  - Then write `version: {bad}` into demo/desired/surface-scratch.yaml: it fails one call in five. Watch the evidence
    grow until the station takes it back.
  - Roll a PID back by hand, with a reason; find it in the audit; resume it.
Calls go on until Ctrl-C, which ends everything.
"""


def free_address() -> str:
    """Return a loopback address where nobody listens: of the preferred port if possible."""
    for port in (PREFERRED_PORT, 0):
        with socket.socket() as channel:
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                channel.bind(("127.0.0.1", port))
            except OSError:
                continue
            return f"127.0.0.1:{channel.getsockname()[1]}"
    raise OSError("no port of 127.0.0.1 is free")


def show_page(stage: Stage, deployment: str, pids: Sequence[str]) -> None:
    """Bring a canary to a pause, put a load on the station, tell where its page is, and stay until Ctrl-C."""
    station = stage.station
    for version, source in ((GOOD, "1.1.0"), (BAD, "1.2.0")):
        pack_as(version, ALGORITHMS / "scratch_inspector" / source, station.zips)
    with Load(station.store, pids, parts_of_a_line(), Pace(callers=1, rest=0.4)) as load:
        load.start()
        begin_canary(station, deployment)
        stay(station)
    station.run("down")


def stay(station: Station) -> None:
    """Tell where the page is, and wait until Ctrl-C. Nobody comes in with the token any more, however it ends.

    Raises Unexpected: the daemon has ended.
    """
    try:
        token = make_token(station)
        print(TRY.format(address=station.listen, token=token, expires=EXPIRES, good=GOOD, bad=BAD), flush=True)
        while True:
            station.check_daemon()
            time.sleep(LOOK)
    except KeyboardInterrupt:
        print("\nEnding the station.", flush=True)
    finally:
        station.attempt("token", "revoke", TOKEN)  # needs no daemon


def begin_canary(station: Station, deployment: str) -> None:
    """Ask for the good version, and wait until its canary waits for somebody's word."""
    document = station.desired / f"{deployment}.yaml"
    text = document.read_text(encoding="utf-8")
    text = text.replace("version: 1.1.0", f"version: {GOOD}").replace("pause: {duration: 1s}", "pause: {}")
    document.write_text(text, encoding="utf-8")
    print(f"  {document.name}: version: {GOOD}, and its first pause lasts until somebody promotes it", flush=True)
    station.wait_for(lambda: station.deployment(deployment)["phase"] == "Paused", f"the canary of {GOOD}")


def make_token(station: Station) -> str:
    """Return the secret of a new token that may do what an operator may, for as long as somebody looks."""
    made = ("-o", "json", "token", "create", TOKEN, "--role", "operator", "--expires", EXPIRES)
    told = station.run(*made, show=False)
    secret: str = json.loads(told)["token"]
    return secret


def pack_as(version: str, project: Path, folder: Path, **manifest: object) -> Path:
    """Return the zip of a project under another version, and with further changes of its manifest."""
    with tempfile.TemporaryDirectory() as work:
        copy = Path(work) / project.name
        shutil.copytree(project, copy)
        path = copy / "manifest.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**content, "version": version, **manifest}), encoding="utf-8")
        return pack(copy, folder)


def parts_of_a_line() -> list[np.ndarray]:
    """Return pictures as a line has them: most parts are good."""
    names = ("good", "good", "good", "scratched", "good", "good", "good", "good", "scratched-twice")
    return [draw_part(PARTS[name], seed) for seed, name in enumerate(names)]
