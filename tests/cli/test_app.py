"""Words to settings, usage errors and help: what is the same for every command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from controller.cli.app import COMMANDS
from controller.cli.output import say
from controller.errors import StoreError
from controller.station.commands.operator import Rollback
from tests.cli.conftest import Pvctl
from tests.cli.fakes import RefusingStation
from tests.station.fake import FakeStation
from tests.waiting import HANGS

PVCTL = Path(sys.executable).with_name("pvctl")
COMMAND_LINES = [*([name] for name in COMMANDS), ["package", "validate"], ["package", "show"], ["rollout", "status"]]


@pytest.mark.parametrize(
    "words",
    [["-o", "json", "version"], ["version", "-o", "json"], ["version", "--output=json"], ["-ojson", "version"]],
)
def test_global_options_stand_before_and_after_the_command(pvctl: Pvctl, words: list[str]) -> None:
    assert json.loads(pvctl(*words).out)["version"]


def test_what_stands_after_the_command_wins(pvctl: Pvctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PVCTL_STORE", "from-environment")
    monkeypatch.setenv("PVCTL_DESIRED", "tree")
    monkeypatch.setenv("PVCTL_LOG_LEVEL", "")
    pvctl("status")
    assert pvctl.settings.store == Path("from-environment").absolute()
    assert pvctl.settings.desired == Path("tree")
    assert pvctl.settings.log_level("warning") == "warning"
    pvctl("--store", "before", "--log-level", "debug", "status")
    assert pvctl.settings.store == Path("before").absolute()
    assert pvctl.settings.log_level("warning") == "debug"
    pvctl("--store", "before", "package", "--store", "between", "show", "a.zip", "--store", "after")
    assert pvctl.settings.store == Path("after").absolute()


def test_the_version_is_an_option_too(pvctl: Pvctl) -> None:
    said = pvctl("--version")
    assert (said.code, said.err, pvctl.asked) == (0, "", [])
    assert pvctl("version").out.startswith(said.out.strip())


def test_without_options_the_defaults_hold(pvctl: Pvctl) -> None:
    pvctl("status")
    settings = pvctl.settings
    assert (settings.desired, settings.store) == (Path("desired"), Path("runtime_store").absolute())
    assert (settings.output, settings.log_level("info")) == ("table", "info")


def test_the_environment_chooses_the_form(pvctl: Pvctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PVCTL_OUTPUT", "json")
    assert json.loads(pvctl("version").out)["version"]
    assert pvctl("-o", "table", "version").out.startswith("pvctl ")
    monkeypatch.setenv("PVCTL_OUTPUT", "xml")
    said = pvctl("version")
    assert said.code == 64
    assert "PVCTL_OUTPUT in the environment" in said.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("stauts", "no command 'stauts'; did you mean status?"),
        ("frobnicate", "no command 'frobnicate'\n"),
        ("exec A01 --imge part.png", "no option --imge; did you mean --image?"),
        ("package validate --lines 3 a.zip", "no option --lines"),
        ("--stor x status", "no option --stor; did you mean --store?"),
        ("status -x", "unrecognized arguments: -x"),
        ("status --wat", "no option --wat; did you mean --watch?"),
        ("-o xml status", "invalid choice: 'xml'"),
        ("-o json", "required: COMMAND\n"),
        ("package", "required: COMMAND\n"),
        ("package check", "invalid choice: 'check'"),
        ("exec A01", "required: --image"),
        ("exec", "required: PID|NAME@VERSION, --image"),
        ("exec A01 --image a --step one", "--step: 'one' is not a whole number"),
        ("exec A01 --image a --param =3", "--param: '=3' is not KEY=VALUE"),
        ("exec A01 --image a --guide-info {", "--guide-info: not JSON:"),
        ("exec A01 --image a --guide-info @nowhere", "--guide-info: cannot read nowhere: No such file"),
        ("exec A01 --image a --timeout soon", "--timeout: got 'soon'"),
        ("exec A01 --phase pre", "required: --image"),
        ("exec A01 --image a --phase post", "invalid choice: 'post'"),
        ("audit -n -3", "--lines/--limit: -3 is below 0"),
        ("rollback A01", "required: --reason"),
        ("reconcile", "say --once"),
        ("completion tcsh", "invalid choice: 'tcsh'"),
        ("pause line/a", "DEPLOYMENT: 'line/a' is not the name of a deployment or a PID"),
        ("version extra", "unrecognized arguments: extra"),
        (f"--store {__file__} status", "is a file, not a folder"),
    ],
)
def test_wrong_words_are_64_and_the_message_says_where_help_is(pvctl: Pvctl, words: str, text: str) -> None:
    said = pvctl(*words.split())
    assert said.code == 64
    assert said.out == ""
    assert text in said.err
    assert "next: see `pvctl" in said.err
    assert "--help`" in said.err
    assert pvctl.asked == []


def test_no_words_show_the_overview(pvctl: Pvctl) -> None:
    said = pvctl()
    assert said.code == 64
    assert "the desired state:\n  validate" in said.err


def test_an_option_like_value_is_taken_where_it_can_be_nothing_else(pvctl: Pvctl) -> None:
    assert pvctl("rollback", "A01", "--reason", "--stop the line--").code == 0
    assert pvctl("rollback", "A01", "--reason=--stop").code == 0
    assert pvctl.asked == [Rollback("A01", reason="--stop")]
    assert "no PID and no deployment --pid has a history" in pvctl("history", "--", "--pid").err


@pytest.mark.parametrize("words", COMMAND_LINES, ids=" ".join)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_shows_an_example_and_every_option(pvctl: Pvctl, words: list[str], flag: str) -> None:
    said = pvctl(*words, flag)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"usage: pvctl {' '.join(words)} ")
    assert f"\n  pvctl {words[0]}" in said.out or f"pvctl {' '.join(words)}" in said.out.partition("Example")[2]
    assert "--store DIR" in said.out
    assert "Example" in said.out


def test_the_overview_lists_every_command_and_imports_none() -> None:
    code = (
        "import sys; from controller.cli.app import run; run(['--help'], None);"
        "print(*(name for name in sys.modules if name.startswith('controller.cli.')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name, line in COMMANDS.items():
        assert f"  {name:<12}{line}" in done.stdout
    loaded = {name.rpartition(".")[2] for name in done.stderr.split()}
    assert loaded == {"app", "output", "parameters", "parser", "settings"}


def test_quick_commands_load_nothing_slow(tmp_path: Path) -> None:
    slow = {"asyncio", "pydantic", "orjson", "yaml", "rich", "uvloop", "psutil", "shutil", "pwd", "shtab"}
    code = (
        "import sys; from controller.__main__ import Product; from controller.cli.app import run;"
        "run(sys.argv[1:], Product); print(*sys.modules, file=sys.stderr)"
    )
    for words in (["version"], ["--store", str(tmp_path), "status"]):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
        loaded = set(done.stderr.split())
        assert "controller.cli.app" in loaded
        assert not slow & loaded


def test_errors_say_what_and_what_next(pvctl: Pvctl) -> None:
    said = pvctl("exec", "X99", "--image", "a.png")
    assert said.code == 1
    assert said.err == "error [1012 no_active_version]: PID X99 has no active version\n  next: see `pvctl status`\n"


def test_an_invalid_desired_state_is_4_with_every_problem(pvctl: Pvctl) -> None:
    said = pvctl("plan", station=RefusingStation())
    assert (said.code, said.out) == (4, "")
    assert said.err.splitlines() == ["desired/a.yaml:3:1: spec.pids: got nothing", "desired/a.yaml:9:1: unknown key"]


def failing(error: BaseException) -> FakeStation:
    station = FakeStation()
    station.failure = error
    return station


def test_an_interrupt_is_130(pvctl: Pvctl) -> None:
    said = pvctl("status", station=failing(KeyboardInterrupt()))
    assert (said.code, said.err) == (130, "aborted\n")


def test_an_error_without_a_next_step_is_one_line(pvctl: Pvctl) -> None:
    said = pvctl("status", station=failing(StoreError("the store is gone")))
    assert (said.code, said.err) == (1, "error: the store is gone\n")


@pytest.mark.parametrize("words", [["--help"], ["schema"], ["version"]])
def test_a_reader_that_goes_away_is_no_error_to_tell(words: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen([PVCTL, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(HANGS) == 1


@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(redirection: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f'"$1" version {redirection}', "bash", PVCTL], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_under_stdout_is_one_line(unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [PVCTL, "schema"], stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")


def test_lines_of_several_threads_stand_one_below_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(write=written.append, flush=lambda: None))
    say("package/a@1.0.0: checking …")

    assert [each for each in written if each] == ["package/a@1.0.0: checking …\n"]
