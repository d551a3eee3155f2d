"""The acts of the demo, in order. Each types what an operator would type, and fails when the answer is not the one.

Add an act as a function of the stage and name it in `ACTS`.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from types import FrameType
from typing import Any

import numpy as np

from examples.demo import rollouts
from examples.demo.load import Load
from examples.demo.stage import ROOT, Stage
from examples.demo.station import Station, Unexpected, demand
from examples.packing import pack, projects
from examples.parts import PARTS, draw_part, write_parts

LEGACY_PID = "B01"


def act_pack(stage: Stage) -> None:
    """Algorithm teams hand over offline zips, packed with the SDK's own procvision-cli"""
    for project in projects():
        package = pack(project, stage.station.zips)
        print(f"  {project.relative_to(ROOT)} -> {package.name}, {package.stat().st_size / 1e6:.0f} MB")


def act_first_deployment(stage: Stage) -> None:
    """An operator writes YAML; one round makes the station match it"""
    station = stage.station
    for source in sorted((ROOT / "examples" / "desired").glob("*.yaml")):
        shutil.copy(source, station.desired)
    print((station.desired / "surface-scratch.yaml").read_text(encoding="utf-8"))
    station.run("validate")
    station.run("plan", expect=2)
    station.run("reconcile", "--once")
    station.run("plan")


def act_inspect(stage: Stage) -> None:
    """Detections: each PID is answered by the version that is active for it"""
    stage.expect("A01", "good", "OK", "1.0.0")
    stage.expect("A01", "scratched", "NG", "1.0.0")
    print("\nVersion 1.0.0 does not see a faint scratch:")
    stage.expect("A02", "faint", "OK", "1.0.0")
    print("\nThe legacy package (SDK 0.0.7) tells whether a part is there, and takes parameters:")
    stage.expect(LEGACY_PID, "good", "OK", "1.0.0")
    stage.expect(LEGACY_PID, "empty", "NG", "1.0.0")
    stage.expect(LEGACY_PID, "good", "NG", "1.0.0", "--param", "min_coverage=0.9")


def act_status(stage: Stage) -> None:
    """What the station is doing"""
    stage.station.run("status")


def act_typo(stage: Stage) -> None:
    """A typo is refused with its place, and nothing changes on the station"""
    document = stage.station.desired / "surface-scratch.yaml"
    good = document.read_text(encoding="utf-8")
    document.write_text(good.replace("pids:", "pidz:"), encoding="utf-8")
    told = stage.station.run("reconcile", "--once", expect=4)
    demand("surface-scratch.yaml:" in told, "the refusal does not name the file and line")
    stage.expect("A01", "scratched", "NG", "1.0.0")
    document.write_text(good, encoding="utf-8")


def act_next_version(stage: Stage) -> None:
    """The next version is one line in git"""
    stage.edit("version: 1.0.0", "version: 1.1.0")
    told = stage.station.run("plan", expect=2)
    demand("1.1.0" in told, "the plan does not name the new version")
    stage.station.run("reconcile", "--once")
    print("\nThe same part again; the other deployment was not touched:")
    stage.expect("A02", "faint", "NG", "1.1.0")
    stage.expect("A01", "scratched-twice", "NG", "1.1.0")
    stage.expect("A03", "good", "OK", "1.1.0")
    stage.expect(LEGACY_PID, "good", "OK", "1.0.0")


def act_repair(stage: Stage) -> None:
    """A killed algorithm process and a damaged mapping are repaired by the next round"""
    station = stage.station
    processes = (each for each in station.status()["processes"] if each["deployment"] == "surface-scratch")
    (process,) = (each for each in processes if each["version"] == "1.1.0")  # 1.0.0 is kept warm for the way back
    os.kill(process["os_pid"], signal.SIGKILL)
    print(f"\n$ kill -9 {process['os_pid']}; echo garbage > runtime_store/active/A02.json")
    (station.store / "active" / "A02.json").write_text("garbage\n", encoding="utf-8")
    station.run("reconcile", "--once")
    stage.expect("A01", "good", "OK", "1.1.0")
    stage.expect("A02", "faint", "NG", "1.1.0")


def act_books(stage: Stage) -> None:
    """Who changed what, when and why"""
    history = stage.station.run("history", "A04")
    demand("1.2.0 is rolled back" in history, "the history of A04 does not tell of the way back")
    stage.station.run("audit", "--lines", "8")
    stage.station.run("audit", "--verify")


def act_down(stage: Stage) -> None:
    """The end: the daemon and every algorithm process of this store are ended, the mappings stay"""
    stage.station.run("down")
    stage.station.wait_for_daemon()
    mappings = list((stage.station.store / "active").glob("*.json"))
    demand(len(mappings) == 5, f"{len(mappings)} mappings are left, not 5")


ACTS = (
    act_pack,
    act_first_deployment,
    act_inspect,
    act_status,
    act_typo,
    act_next_version,
    act_repair,
    *rollouts.ACTS,
    act_books,
    act_down,
)


def perform(stage: Stage) -> None:
    for number, act in enumerate(ACTS, start=1):
        print(f"\n=== {number}. {act.__doc__}", flush=True)
        act(stage)


def thumbnails() -> list[np.ndarray[Any, Any]]:
    """Return pictures so small that two cores are enough for a load of them."""
    return [draw_part(PARTS[name], seed)[::4, ::4].copy() for name in ("good", "scratched") for seed in range(3)]


def be_interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    signal.signal(signal.SIGTERM, be_interrupted)  # what was started is ended then too
    started = time.monotonic()
    station = Station(ROOT / "demo")
    try:
        station.start_anew()
        print(f"The commands below run in {station.folder.relative_to(ROOT)}/, made anew for this demo.")
        with Load(station.store, rollouts.PIDS, thumbnails()) as load:
            perform(Stage(station, write_parts(station.folder / "parts"), load))
    except Unexpected as problem:
        print(f"\nThe demo failed: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe demo was interrupted.", file=sys.stderr)
        return 130
    finally:
        station.end()
    print(f"\nThe demo took {time.monotonic() - started:.0f} s. Its files are in demo/; the next demo removes them.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
