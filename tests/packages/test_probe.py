"""The proof of an entry point: each way to fail it is 2005 in the algorithm's own words, and nothing stays behind."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from controller.errors import Code, HostError, PackageError, StoreError
from controller.packages import interpreters, probe, venv
from controller.packages.install import Installer
from controller.packages.limits import Limits
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from examples.packing import (
    IMPORT_DIES,
    IMPORT_EXITS,
    IMPORT_RAISES,
    NOT_AN_ALGORITHM,
    PARSES_ARGUMENTS,
    PRINTS,
    SETUP_HANGS,
    SETUP_RAISES,
    SHADOWS_STDOUT,
    SPAWNS,
    Algorithm,
    Generation,
    build_package,
)
from tests.packages.conftest import NOW, marked, visible
from tests.packages.zips import rewrite

pytestmark = pytest.mark.real
PIDS = ("A01", "A02", "A03", "A04")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreLayout]:
    """One store for all the packages of this module, so that uv's cache is warm."""
    layout = StoreLayout.at(tmp_path_factory.mktemp("probes") / "store")
    for folder in layout.folders:
        folder.mkdir(parents=True)
    yield layout
    assert list(layout.staging.iterdir()) == []


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[Generation, Path]:
    folder = tmp_path_factory.mktemp("plain")
    return {
        "0.3": build_package(folder, name="probed"),
        "0.0": build_package(folder, name="legacy-probed", generation="0.0"),
    }


def variant(plain: dict[Generation, Path], target: Path, generation: Generation, algorithm: Algorithm | str) -> Path:
    """Replace the source of a packed algorithm: the real packager's zip, without packing numpy again."""
    root, module, name = {
        "0.3": ("probed", "probed", "ProbedAlgorithm"),
        "0.0": ("legacy-probed", "legacy_probed", "LegacyProbedAlgorithm"),
    }[generation]  # fmt: skip
    source = algorithm if isinstance(algorithm, str) else algorithm.source(generation, name, PIDS)
    return rewrite(plain[generation], target / "variant.zip", replace={f"{root}/{module}/main.py": source.encode()})


def fails(layout: StoreLayout, package: Path, **limits: float) -> PackageError:
    before = visible(layout)
    installer = Installer(layout, MutationLock(layout), now=lambda: NOW, limits=lambda: Limits(**limits))  # type: ignore[arg-type]
    with pytest.raises(PackageError) as caught:
        installer.install(package)
    assert caught.value.code == Code.install_failed
    assert visible(layout) == before
    return caught.value


GET_INFO = Algorithm(info={"supported_pids": ["A01", "B07"]})
OTHER_NAME = Algorithm(info={"name": "another"})
OTHER_VERSION = Algorithm(info={"version": "0.9.0"})
ODD_STEPS = Algorithm(info={"steps": {"1": "look"}})
ODD_PIDS = Algorithm(info={"supported_pids": "A01"})
SEGFAULT = Algorithm(top="os.kill(os.getpid(), 11)")
CLASS_MISSING = "from procvision_algorithm_sdk import BaseAlgorithm\n"
SYNTAX = "def ("
NO_EXECUTE = "from procvision_algorithm_sdk import BaseAlgorithm\nclass ProbedAlgorithm(BaseAlgorithm): pass\n"


@pytest.mark.parametrize(
    ("generation", "algorithm", "words"),
    [
        ("0.3", IMPORT_RAISES, "RuntimeError: model file model.onnx is damaged"),
        ("0.0", IMPORT_RAISES, "RuntimeError: model file model.onnx is damaged"),
        ("0.3", IMPORT_EXITS, "it called sys.exit(0)"),
        ("0.3", IMPORT_DIES, "ended its process (exit status 0) while importing probed.main"),
        ("0.3", SETUP_RAISES, "RuntimeError: no such camera: cam-7"),
        ("0.0", SETUP_RAISES, "running setup(): RuntimeError: no such camera: cam-7"),
        ("0.3", NOT_AN_ALGORITHM, "is not a subclass of the SDK's BaseAlgorithm"),
        ("0.0", GET_INFO, "A01, B07 against A01, A02, A03, A04"),
        ("0.0", OTHER_NAME, "another name in get_info() than the manifest: another against legacy-probed"),
        ("0.0", OTHER_VERSION, "another version in get_info() than the manifest: 0.9.0 against 1.0.0"),
        ("0.0", ODD_STEPS, "get_info() says steps as dict, not as a list"),
        ("0.0", ODD_PIDS, "get_info() says supported_pids as str, not as a list"),
        ("0.0", SHADOWS_STDOUT, "stdout was contaminated"),
        ("0.3", SEGFAULT, "was ended by SIGSEGV"),
        ("0.3", CLASS_MISSING, "has no attribute 'ProbedAlgorithm'"),
        ("0.3", SYNTAX, "SyntaxError"),
        ("0.3", NO_EXECUTE, "abstract"),
    ],
)
def test_a_failed_proof_says_it_in_the_algorithms_words(
    shared: StoreLayout, plain: dict[Generation, Path], tmp_path: Path, generation: Generation,
    algorithm: Algorithm | str, words: str,
) -> None:  # fmt: skip
    error = fails(shared, variant(plain, tmp_path, generation, algorithm))
    assert words in error.message
    assert error.details["stage"]
    assert isinstance(error.details["output"], list)


def test_the_algorithms_own_traceback_is_in_the_error_and_in_the_log_of_the_installation(
    shared: StoreLayout, plain: dict[Generation, Path], tmp_path: Path
) -> None:
    error = fails(shared, variant(plain, tmp_path, "0.3", Algorithm(top="def load():\n    return 1 / 0\nload()")))
    first, *frames, last = error.details["traceback"]
    assert (first, last) == ("Traceback (most recent call last):", "ZeroDivisionError: division by zero")
    assert "main.py" in frames[0]
    log = Path(error.details["log"]).read_text().splitlines()
    assert log[0].startswith(f"{NOW} variant.zip, sha256:")
    assert f"{NOW} proving the entry point" in log
    assert f"    {last}" in log


def test_the_last_output_is_kept_and_bounded(
    shared: StoreLayout, plain: dict[Generation, Path], tmp_path: Path
) -> None:
    noisy = Algorithm(top="for i in range(100000): print('line', i)\nraise RuntimeError('x' * 5_000_000)")
    error = fails(shared, variant(plain, tmp_path, "0.3", noisy))
    assert len("".join(error.details["output"])) <= 20_000
    assert len(error.message) < 3_000


def test_a_hanging_setup_is_ended_with_its_children(
    shared: StoreLayout, plain: dict[Generation, Path], tmp_path: Path
) -> None:
    error = fails(shared, variant(plain, tmp_path, "0.3", SETUP_HANGS), prove_timeout_s=5)
    assert "did not finish creating ProbedAlgorithm within 5 s" in error.message
    assert "timeouts.start" in error.next_step
    assert error.details["output"] == ["loading"]
    assert marked(shared) == []


@pytest.mark.parametrize(
    "algorithm",
    [
        PRINTS,
        SHADOWS_STDOUT,
        Algorithm(top="sys.stdout.close(); sys.stderr.close()"),
        Algorithm(top="import threading; threading.Thread(target=time.sleep, args=(600,)).start()"),
        SPAWNS,
        PARSES_ARGUMENTS,
        Algorithm(setup="assert os.environ['PROC_ENV'] == 'prod' and os.getcwd() == os.environ['PROC_ALGO_ROOT']\n"
                        "assert sys.path[0] == os.getcwd() and os.path.isdir(os.environ['PROC_SHM_DIR'])\n"
                        "assert open('manifest.json').read() and len(sys.argv) == 1"),
        Algorithm(top="import subprocess; subprocess.Popen(['sleep', '613'])"),
        Algorithm(top="import subprocess; subprocess.Popen(['sleep', '613'], start_new_session=True)"),
    ],
)  # fmt: skip
def test_what_is_odd_but_works_is_installed(
    shared: StoreLayout, plain: dict[Generation, Path], tmp_path: Path, algorithm: Algorithm
) -> None:
    installer = Installer(shared, MutationLock(shared), now=lambda: NOW)
    receipt = installer.install(variant(plain, tmp_path, "0.3", algorithm))
    assert receipt.sdk_version == "0.3.2"
    installer.uninstall(receipt.ref)
    assert marked(shared) == []


def test_a_proof_that_somebody_ends_is_not_the_packages_fault(
    shared: StoreLayout, plain: dict[Generation, Path], tmp_path: Path
) -> None:
    package = variant(plain, tmp_path, "0.3", Algorithm(top="os.kill(os.getpid(), 9)"))
    with pytest.raises(StoreError, match=r"while importing .* was ended by SIGKILL"):
        Installer(shared, MutationLock(shared), now=lambda: NOW).install(package)


def test_an_environment_of_the_caller_does_not_leak_in(
    shared: StoreLayout, plain: dict[Generation, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("UV_FIND_LINKS", "https://example.org")
    monkeypatch.setenv("PIP_INDEX_URL", "https://example.org")
    monkeypatch.setenv("UV_OFFLINE", "nonsense")
    algorithm = Algorithm(setup="assert not [k for k in os.environ if k.startswith(('UV_', 'PIP_', 'PYTHON'))]")
    installer = Installer(shared, MutationLock(shared), now=lambda: NOW)
    receipt = installer.install(variant(plain, tmp_path, "0.3", algorithm))
    installer.uninstall(receipt.ref)
    assert receipt.name == "probed"


REFUSES = {
    "interpreters": ("controller.packages.interpreters.subprocess.run", "ask "),
    "uv": ("controller.packages.venv.subprocess.run", "run uv"),
    "proof": ("controller.packages.probe.subprocess.Popen", "prove the entry point"),
}


@pytest.mark.parametrize("where", REFUSES)
def test_what_the_host_refuses_is_never_the_packages_fault(
    plain: dict[Generation, Path], shared: StoreLayout, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    called, doing = REFUSES[where]
    module, _, name = called.rpartition(".subprocess.")

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    interpreters._ask.cache_clear()
    monkeypatch.setattr(f"{module}.subprocess", SimpleNamespace(**{**vars(subprocess), name: refuse}))
    installer = Installer(shared, MutationLock(shared), now=lambda: NOW)
    with pytest.raises(HostError, match=f"cannot {doing}") as caught:
        installer.install(plain["0.3"])
    assert caught.value.condition == "ProcessLimit"
    assert not isinstance(caught.value, PackageError)


def test_a_proof_that_fails_while_the_host_is_short_says_nothing_about_the_package(
    plain: dict[Generation, Path], shared: StoreLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = HostError("ProcessLimit", "cannot prove the entry point: the limit of processes and threads was met")
    package = variant(plain, tmp_path, "0.3", IMPORT_RAISES)
    fails(shared, package)
    monkeypatch.setattr(probe.Witness, "shortage", lambda *_: short)
    with pytest.raises(HostError, match="limit of processes"):
        Installer(shared, MutationLock(shared), now=lambda: NOW).install(package)


def test_what_uv_says_of_the_machine_is_told_from_what_it_says_of_wheels() -> None:
    refused = venv._judge("error: Failed to spawn\n  Caused by: Resource temporarily unavailable (os error 11)")
    assert isinstance(refused, HostError)
    assert refused.condition == "ProcessLimit"
    assert isinstance(venv._judge("error: numpy was not found"), PackageError)
