"""The acts of the demo, in order. Each types what an operator would type, and fails when the answer is not the one.

What a command prints is shown as it is. Add an act as a function of the stage and name it in `ACTS`.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import yaml

from examples.demo.accounts import check, versions_of
from examples.demo.load import Load
from examples.demo.page import free_address, show_page
from examples.demo.stage import ROOT, Stage
from examples.demo.station import Station, Unexpected, demand
from examples.packing import pack, projects
from examples.parts import PARTS, draw_part, write_parts

DEPLOYMENT = "surface-scratch"
PIDS = ("A01", "A02", "A03", "A04")
CANARY = "A04"
WAIT = ("rollout", "status", DEPLOYMENT, "--wait")
DETAILS = ("PROCESS", "PACKAGE")
"""What of a status is shown by -v only."""


def act_pack(stage: Stage) -> None:
    """Algorithm teams hand over offline zips, packed with the SDK's own procvision-cli"""
    packages = [pack(project, stage.station.zips).name for project in projects()]
    print(textwrap.fill(", ".join(packages), 120, initial_indent="  ", subsequent_indent="  "))


def act_first_deployment(stage: Stage) -> None:
    """An operator writes YAML; the daemon makes the station match it"""
    station = stage.station
    for source in sorted((ROOT / "examples" / "desired").glob("*.yaml")):
        shutil.copy(source, station.desired)
    document = (station.desired / f"{DEPLOYMENT}.yaml").read_text(encoding="utf-8")
    print(document[document.index("apiVersion") :].rstrip())
    station.start_daemon()
    station.wait_for((station.store / "status.json").exists, "the first status")
    station.run(*WAIT)
    station.wait_for(lambda: station.deployment("part-presence")["phase"] == "Healthy", "the second deployment")


def act_detections(stage: Stage) -> None:
    """A PID is answered by the version that is active for it; 1.0.0 does not see a faint scratch"""
    stage.expect("A02", "faint", "OK", "1.0.0")


def act_typo(stage: Stage) -> None:
    """A typo is refused with its place, and the station goes on as before"""
    document = stage.station.desired / f"{DEPLOYMENT}.yaml"
    good = document.read_text(encoding="utf-8")
    document.write_text(good.replace("version: 1.0.0", "verison: 1.0.0"), encoding="utf-8")
    told = stage.station.run("validate", expect=4)
    demand(f"{DEPLOYMENT}.yaml:" in told, "the refusal does not name the file and line")
    document.write_text(good, encoding="utf-8")


def act_canary(stage: Stage) -> None:
    """1.1.0 comes in steps, as soon as the proposal is merged, while a host application goes on calling"""
    station, proposal = stage.station, stage.station.folder / "proposal"
    stage.load.start()
    shutil.copytree(ROOT / "examples" / "desired-canary", proposal)
    told = station.run("--desired", "proposal", "plan", "--proposal", expect=2)
    demand("setWeight 50" in told, "the plan does not name the steps")
    for path in proposal.glob("*.yaml"):
        shutil.copy(path, station.desired)
    station.run(*WAIT)


def act_bad_version(stage: Stage) -> None:
    """1.2.0 answers ERROR to one call in five, which nobody knows yet; it is rolled back by itself"""
    station, began = stage.station, len(stage.load.calls)
    stage.edit("version: 1.1.0", "version: 1.2.0")
    station.run(*WAIT, expect=5, show=False)
    station.run("status", DEPLOYMENT, leave_out=DETAILS)
    check_evidence(station)
    seen = Counter((call.pid, call.version) for call in stage.load.ended(began))
    print(f"1.2.0 was given {seen[CANARY, '1.2.0']} calls, all of {CANARY}.")
    for pid in (pid for pid in PIDS if pid != CANARY):
        versions = {version for where, version in seen if where == pid}
        demand(versions == {"1.1.0"}, f"{pid} was answered by {versions}, although it was never to see 1.2.0")
        demand("1.2.0" not in versions_of(station, pid), f"{pid} was switched to 1.2.0")


def check_evidence(station: Station) -> None:
    """Demand that all is told of a version that was rolled back: in the status, and as a patch."""
    status = station.deployment(DEPLOYMENT)
    demand(status["phase"] == "Degraded", f"the phase is {status['phase']}, not Degraded")
    demand("scratch-inspector@1.2.0" in status["quarantined"], "1.2.0 is not in quarantine")
    demand("error rate" in status["message"], f"the message names no error rate: {status['message']}")
    demand(bool(status["last_words"]), "the last log lines of 1.2.0 are missing")
    patch = yaml.safe_load((station.store / "status.patch.yaml").read_text(encoding="utf-8"))
    demand(patch["spec"]["package"]["version"] == "1.1.0", f"the patch wants {patch['spec']}")


def act_git_agrees(stage: Stage) -> None:
    """The operator makes git agree with the station; what was NG unseen before 1.1.0 is seen"""
    stage.edit("version: 1.2.0", "version: 1.1.0")
    stage.station.run(*WAIT, show=False)
    stage.expect("A02", "faint", "NG", "1.1.0")


def act_account(stage: Stage) -> None:
    """Every call is accounted for"""
    stage.load.end()
    check(stage, PIDS, bad=(CANARY, "1.2.0"))
    stage.station.run("audit", "--verify", show=False)


def act_end(stage: Stage) -> None:
    """The daemon and every algorithm process are ended, the mappings stay"""
    stage.station.run("down")
    stage.station.wait_for_daemon()
    mappings = list((stage.station.store / "active").glob("*.json"))
    demand(len(mappings) == 5, f"{len(mappings)} mappings are left, not 5")


def act_page(stage: Stage) -> None:
    """The station's page, with load running, for you to look and click"""
    show_page(stage, DEPLOYMENT, PIDS)


ACTS = (
    act_pack, act_first_deployment, act_detections, act_typo, act_canary, act_bad_version, act_git_agrees,
    act_account,
)  # fmt: skip
NEXT = """
What to do next, in demo/ (its files stay until the next demo):
  ../.venv/bin/pvctl run                               start the station again; then, in another terminal:
  ../.venv/bin/pvctl status --watch                    watch it while you change desired/surface-scratch.yaml
  ../.venv/bin/pvctl exec A01 --image parts/faint.png  ask for a detection
  ../.venv/bin/pvctl history A04                       see which version answered when, and why
README.md goes on with your own package; docs/operations.md is for the person who is called at night."""


def perform(stage: Stage, last: Callable[[Stage], None]) -> None:
    for number, act in enumerate((*ACTS, last), start=1):
        print(f"=== {number}. {act.__doc__}", flush=True)
        act(stage)


def thumbnails() -> list[np.ndarray[Any, Any]]:
    """Return pictures so small that two cores are enough for a load of them."""
    return [draw_part(PARTS[name], seed)[::4, ::4].copy() for name in ("good", "scratched") for seed in range(3)]


def be_interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__.splitlines()[0])
    parser.add_argument("-v", "--verbose", action="store_true", help="show all that the commands print")
    parser.add_argument("--page", action="store_true", help="end with the station's page instead of ending the station")
    return parser.parse_args()


def main() -> int:
    arguments = read_arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):  # what was started is ended then too
        signal.signal(number, be_interrupted)
    started = time.monotonic()
    station = Station(ROOT / "demo", verbose=arguments.verbose, listen=free_address() if arguments.page else "")
    try:
        station.start_anew()
        print(f"The commands below run in {station.folder.relative_to(ROOT)}/, made anew for this demo.")
        with Load(station.store, PIDS, thumbnails()) as load:
            perform(
                Stage(station, write_parts(station.folder / "parts"), load), act_page if arguments.page else act_end
            )
    except Unexpected as problem:
        print(f"\nThe demo failed: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe demo was interrupted.", file=sys.stderr)
        return 130
    finally:
        station.end()
    print(f"The demo took {time.monotonic() - started:.0f} s.{NEXT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
