"""Acts with `pvctl run`: new versions reach the line in steps while it works, and leave it by themselves when bad."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from datetime import datetime
from pathlib import Path

import yaml

from examples.demo.load import Call
from examples.demo.stage import ROOT, Stage
from examples.demo.station import Command, demand
from examples.demo.timeline import Timeline

DEPLOYMENT = "surface-scratch"
PIDS = ("A01", "A02", "A03", "A04")
CANARY = "A04"
STABLE = tuple(pid for pid in PIDS if pid != CANARY)
SWITCH_TAKES = 1.0
"""Seconds from a switch's time stamp to its rename, at most: so long a call may still be given to the old version."""


def act_run(stage: Stage) -> None:
    """`pvctl run` keeps the station from now on, and a host application goes on calling"""
    station = stage.station
    print("\nFirst a step back, which is one line in git like any other:")
    stage.edit("version: 1.1.0", "version: 1.0.0")
    station.run("reconcile", "--once", show=False)
    station.start_daemon()
    stage.load.start()
    print("\nTwo callers for each PID do not stop until the end. Those that come before the daemon is up wait for it:")
    timeline = Timeline(station, stage.load, DEPLOYMENT, PIDS)
    timeline.until(lambda: all_on(stage, "1.0.0") and len(stage.load.calls) >= 50, "an answer for every PID")


def act_canary(stage: Stage) -> None:
    """1.1.0 comes again, this time in steps: 25 %, 50 %, 100 %"""
    station, proposal = stage.station, stage.station.folder / "proposal"
    shutil.copytree(ROOT / "examples" / "desired-canary", proposal)
    print((proposal / "surface-scratch.yaml").read_text(encoding="utf-8"))
    print("Before it is merged, the plan names the PIDs of every step:")
    told = station.run("--desired", "proposal", "plan", "--proposal", expect=2)
    demand("setWeight 50" in told, "the plan does not name the steps")
    print("\nMerged: the daemon sees it by itself. A pipeline that wants to know how it ends asks:")
    merge(proposal, station.desired)
    command = station.launch("reconcile", "--once", "--wait")
    timeline = Timeline(station, stage.load, DEPLOYMENT, PIDS)
    timeline.until(lambda: all_on(stage, "1.1.0") and command.ended, "the rollout of 1.1.0")
    print("\nWhat the pipeline was told:")
    command.finish(expect=0)


def act_bad_version(stage: Stage) -> None:
    """1.2.0 answers ERROR to one call in five, which nobody knows yet"""
    station, began = stage.station, len(stage.load.calls)
    stage.edit("version: 1.1.0", "version: 1.2.0")
    command = station.launch("reconcile", "--once", "--wait")
    timeline = Timeline(station, stage.load, DEPLOYMENT, PIDS)
    timeline.until(lambda: command.ended, "the way back from 1.2.0")
    print("\nWhat the pipeline was told; the evidence and the patch stand in `pvctl status` as well:")
    check_evidence(stage, command)
    seen = Counter((call.pid, call.version) for call in stage.load.ended(began))
    print(f"\n1.2.0 was given {seen[CANARY, '1.2.0']} calls of {CANARY}. What the others were answered by:")
    for pid in STABLE:
        versions = {version for where, version in seen if where == pid}
        print(f"  {pid}: {', '.join(versions)}")
        demand(versions == {"1.1.0"}, f"{pid} was answered by {versions}, although it was never to see 1.2.0")
        demand("1.2.0" not in versions_of(stage, pid), f"{pid} was switched to 1.2.0")


def check_evidence(stage: Stage, command: Command) -> None:
    """Demand that all is told of a version that was rolled back: to the pipeline, in the status, as a patch."""
    station = stage.station
    command.finish(expect=5)
    status = station.deployment(DEPLOYMENT)
    demand(status["phase"] == "Degraded", f"the phase is {status['phase']}, not Degraded")
    demand("scratch-inspector@1.2.0" in status["quarantined"], "1.2.0 is not in quarantine")
    demand("error rate" in status["message"], f"the message names no error rate: {status['message']}")
    demand(bool(status["evidence"]), "the last log lines of 1.2.0 are missing")
    demand(all_on(stage, "1.1.0"), "not every PID is answered by 1.1.0 again")
    patch = yaml.safe_load((station.store / "status.patch.yaml").read_text(encoding="utf-8"))
    demand(patch["spec"]["package"]["version"] == "1.1.0", f"the patch wants {patch['spec']}")


def act_git_agrees(stage: Stage) -> None:
    """The operator makes git agree with the station, as the patch says"""
    print("Nothing moves while the YAML still says 1.2.0. Had the fault been elsewhere, `pvctl retry surface-scratch`")
    print("would try 1.2.0 once more; here git goes back:")
    stage.edit("version: 1.2.0", "version: 1.1.0")
    stage.station.run("reconcile", "--once", "--wait", show=False)
    told = stage.station.run("status")
    demand("Healthy" in told and "Degraded" not in told, "the station is not healthy")


def act_accounts(stage: Stage) -> None:
    """Every call is accounted for"""
    load = stage.load
    load.end()
    calls = load.ended()
    print(f"  {'PID':<6}{'version':<10}{'OK or NG':>9}{'ERROR':>8}")
    seen = Counter((call.pid, call.version, call.status) for call in calls if call.error is None)
    for pid, version in sorted({(pid, version) for pid, version, _ in seen}):
        print(f"  {pid:<6}{version:<10}{seen[pid, version, 'OK']:>9}{seen[pid, version, 'ERROR']:>8}")
    failed, lost = [call for call in calls if call.error is not None], load.began - len(calls)
    strange = [call for pid in PIDS for call in wrongly_answered(stage, pid)]
    print(f"  {load.began} calls: {len(calls)} ended, {len(failed)} failed, {lost} lost,")
    print(f"  {len(strange)} were answered by a version that was not active for the PID")
    demand(not failed, f"calls failed: {Counter(str(call.error) for call in failed).most_common(3)}")
    demand(lost == 0, f"{lost} calls never ended")
    demand(not strange, f"answered by a version that was not active: {strange[:3]}")
    bad = {(pid, version) for pid, version, status in seen if status == "ERROR"}
    demand(bad == {(CANARY, "1.2.0")}, f"ERROR came from {bad}, not from 1.2.0 on {CANARY} alone")


def all_on(stage: Stage, version: str) -> bool:
    """Whether the latest call of every PID was answered by that version."""
    return set(stage.load.latest(PIDS).values()) == {version}


def merge(proposal: Path, desired: Path) -> None:
    for path in proposal.glob("*.yaml"):
        shutil.copy(path, desired)


def history(stage: Stage, pid: str) -> list[tuple[float, str]]:
    """Return from when (seconds since 1970) which version was active for a PID."""
    entries = json.loads(stage.station.run("-o", "json", "history", pid, show=False))
    return [(datetime.fromisoformat(each["at"]).timestamp(), each["version"]) for each in entries]


def versions_of(stage: Stage, pid: str) -> set[str]:
    return {version for _, version in history(stage, pid)}


def wrongly_answered(stage: Stage, pid: str) -> list[Call]:
    """Return the calls of a PID whose answer came from a version that was not active at any time of theirs."""
    entries = history(stage, pid)
    ends = [since + SWITCH_TAKES for since, _ in entries[1:]] + [float("inf")]
    times = [(version, since, end) for (since, version), end in zip(entries, ends, strict=True)]
    return [
        call
        for call in stage.load.ended()
        if call.pid == pid and call.error is None and not any(
            version == call.version and call.ended >= since and call.began <= end for version, since, end in times
        )
    ]  # fmt: skip


ACTS = (act_run, act_canary, act_bad_version, act_git_agrees, act_accounts)
