"""What code of a package is executed with: the proof of its entry point must prove what the real process will get."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from controller.calls.request import DetectionRequest
from controller.model.desired import Deployment
from controller.model.observed import ProcessKey
from controller.model.package import Installation, Receipt
from controller.packages.install import Installer
from controller.reconciler.apply import process_spec
from controller.store.layout import StoreLayout
from controller.store.store import Store
from examples.packing import Algorithm, Generation, build_package
from tests.builders import deployment
from tests.packages.zips import rewrite
from tests.processes.conftest import call, runner_of

NOW = "2026-01-31T08:15:00Z"
NAME = "reports"
REPORT = "environment.json"
REPORTS = Algorithm(
    top="import json",
    setup=f"if not os.path.exists({REPORT!r}): json.dump(dict(os.environ), open({REPORT!r}, 'w'))",
    body="return ok(environment=dict(os.environ), folder=os.getcwd())",
)
"""Reports its environment: what sets it up first, the proof, in a file of its folder; a call in its answer."""
OURS = {
    "PVCTL_STORE": "/elsewhere", "PVCTL_TOKEN": "another's", "PVCTL_STAGING": "/another's", "PROC_ENV": "dev",
    "PROC_STRICT_STDIO": "1", "NOTIFY_SOCKET": "/run/nobody", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1",
    "LISTEN_FDS": "1", "LISTEN_PID": "1",
    "UV_OFFLINE": "nonsense", "UV_FIND_LINKS": "https://example.org", "PIP_INDEX_URL": "https://example.org",
    "PYTHONPATH": "/elsewhere", "PYTHONSTARTUP": "/elsewhere.py", "PYTHONWARNINGS": "ignore",
    "VIRTUAL_ENV": "/elsewhere", "CONDA_PREFIX": "/elsewhere", "CONDAX": "x", "__PYVENV_LAUNCHER__": "/elsewhere",
}  # fmt: skip
"""What a controller may have in its own environment and code of a package must not get from there."""
DIFFERENT = {"PVCTL_TOKEN", "PVCTL_STAGING", "PROC_SHM_DIR"}
"""What a proof and a process do not share: the mark that each is found by, and the folder for images."""


@pytest.mark.real
@pytest.mark.parametrize(("generation", "shape"), [("0.3", "enclosed"), ("0.0", "enclosed"), ("0.3", "deployed")])
async def test_the_proof_and_the_process_get_one_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generation: Generation, shape: str
) -> None:
    package = packed(tmp_path, generation, shape)
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")  # as an operator has it whose store is on another disk
    store = Store.at(StoreLayout.at(tmp_path / "link" / "store"), lambda: NOW)
    store.create_folders()
    for name, value in {**OURS, "LINE_NAME": "A"}.items():
        monkeypatch.setenv(name, value)

    receipt = Installer(store.layout, store.lock, now=lambda: NOW).install(package)
    proof = json.loads((store.layout.package(receipt.ref) / receipt.working_directory / REPORT).read_text())
    process, folder = await called(store, receipt)

    staging = proof["PVCTL_STAGING"]
    assert process["PVCTL_TOKEN"] not in {"", OURS["PVCTL_TOKEN"]}
    assert Path(staging).parent == store.layout.staging
    assert plain(proof, f"{staging}/package") == plain(process, str(store.layout.package(receipt.ref)))
    assert proof["LINE_NAME"] == process["LINE_NAME"] == "A"
    assert process["PROC_ENV"] == "prod"
    assert process["PROC_ALGO_ROOT"] == folder
    assert ("PYTHONPATH" in process) == (shape == "deployed")
    for name, value in OURS.items():
        assert value not in {proof.get(name), process.get(name)}, name


def packed(folder: Path, generation: Generation, shape: str) -> Path:
    """Return a package of the real packager; deployed: with its code below `src/`, as the seed documents have it."""
    package = build_package(folder, name=NAME, generation=generation, source=REPORTS)
    if shape == "enclosed":
        return package
    return rewrite(
        package, folder / "deployed.zip", rename=lambda name: name.replace(f"{NAME}/{NAME}/", f"{NAME}/src/{NAME}/")
    )


async def called(store: Store, receipt: Receipt) -> tuple[dict[str, str], str]:
    """Start the installed package as a pass does; return the environment and the folder that a call of it reports."""
    key = ProcessKey(NAME, receipt.name, receipt.version)
    wanted = Deployment.model_validate(deployment(NAME, receipt.version, "A01", package=NAME))
    spec = process_spec(key, wanted, Installation(receipt, str(store.layout.package(receipt.ref))), store)
    pool = runner_of(store.layout)
    await pool.open()
    try:
        await pool.start(spec)
        answer = await call(pool, DetectionRequest("A01", np.zeros((4, 4, 3), np.uint8)), key)
        debug = answer.data["debug"]
        return debug["environment"], debug["folder"]
    finally:
        await pool.stop(key, drain=1)
        await pool.close()


def plain(environment: Mapping[str, str], folder: str) -> dict[str, str]:
    """Return an environment without what may differ, and with the package's own folder called by one name."""
    resolved = str(Path(folder).resolve())
    return {
        name: value.replace(resolved, "(the package)").replace(folder, "(the package, by a link)")
        for name, value in sorted(environment.items())
        if name not in DIFFERENT
    }
