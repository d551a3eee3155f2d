"""`pvctl run --listen` in processes of their own: what starts, dies and comes back, and what never starts."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import parser

from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.gateway.test_tls import common_name, make_certificate, trusting
from tests.system import has_ipv6
from tests.waiting import HANGS, eventually


@pytest.fixture
def daemon(station: Station) -> Iterator[Daemon]:
    found = Daemon(station)
    yield found
    found.leave_nothing()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def gateway_of(daemon: Daemon) -> int:
    """The gateway's process number; 0 where there is none."""
    for each in Path(f"/proc/{daemon.os_pid}/task/{daemon.os_pid}/children").read_text().split():
        if b"controller.gateway" in Path(f"/proc/{each}/cmdline").read_bytes():
            return int(each)
    return 0


def alive(os_pid: int) -> bool:
    try:
        return Path(f"/proc/{os_pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def holds(status: Any, kind: str) -> bool | None:
    """Whether a condition of the host holds; None where it is not told."""
    return next((each["status"] for each in status["host"]["conditions"] if each["type"] == kind), None)


def down(status: Any) -> bool | None:
    return holds(status, "ListenerDown")


def token(station: Station, name: str, role: str) -> str:
    return str(json.loads(station.pvctl("token", "create", name, "--role", role, "-o", "json").stdout)["token"])


def ask(port: int, path: str, context: ssl.SSLContext, bearer: str) -> tuple[int, Any]:
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=HANGS, context=context)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {bearer}"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except (ConnectionError, ssl.SSLEOFError):
        return 0, None
    finally:
        connection.close()


def test_the_gateway_comes_back_the_daemon_does_not_care_and_it_ends_with_it(
    station: Station, daemon: Daemon, tmp_path: Path
) -> None:
    certificate, key = make_certificate(tmp_path, "first")
    other, other_key = make_certificate(tmp_path, "second")
    context, port = trusting(certificate, other), free_port()
    admin = token(station, "boss", "admin")  # before there is a daemon
    daemon.arguments = ("--listen", f"127.0.0.1:{port}", "--tls-cert", str(certificate), "--tls-key", str(key))
    daemon.start(ready=False)
    eventually(lambda: ask(port, "/v1/whoami", context, admin)[0] != 0, "the gateway")
    status = daemon.until(lambda each: down(each) is False, "the listener")
    assert status["daemon"]["listen"] == f"https://127.0.0.1:{port}"
    assert f"listens at https://127.0.0.1:{port}" in station.pvctl("status", expect=None).stdout

    viewer = token(station, "wall", "viewer")  # by the daemon, that runs
    assert ask(port, "/v1/status", context, viewer)[0] == 200
    station.pvctl("token", "revoke", "wall")
    assert ask(port, "/v1/status", context, viewer)[0] == 401
    assert "wall" not in station.pvctl("token", "list").stdout
    assert refused(station)["unauthorized"] == 1

    damaged_tokens_are_seen(station, daemon)

    certificate.write_bytes(other.read_bytes())
    key.write_bytes(other_key.read_bytes())
    daemon.signal(signal.SIGHUP)

    def served() -> str:
        with socket.create_connection(("127.0.0.1", port), HANGS) as plain:
            return common_name(context.wrap_socket(plain, server_hostname="localhost"))

    eventually(lambda: served() == "second", "the new certificate")

    first, daemon_pid = gateway_of(daemon), daemon.os_pid
    os.kill(first, signal.SIGKILL)
    daemon.until(lambda each: down(each) is True, "the condition")
    eventually(lambda: ask(port, "/v1/status", context, admin)[0] == 200, "the next gateway")
    second = gateway_of(daemon)
    assert second not in {0, first}
    assert (os.getsid(second), os.getpriority(os.PRIO_PROCESS, second)) == (second, 10), "gives way to calls"
    assert daemon.os_pid == daemon_pid
    assert ask(port, "/v1/status", context, viewer)[0] == 401
    assert refused(station)["unauthorized"] == 2, "what the first gateway counted is not forgotten"
    daemon.until(lambda each: down(each) is False, "the listener again")

    daemon.kill()
    eventually(lambda: not alive(second), "the gateway's end with its daemon")
    daemon.start(ready=False)
    eventually(lambda: ask(port, "/v1/status", context, admin)[0] == 200, "the same address")
    third = gateway_of(daemon)
    assert daemon.stop() == 0
    assert not alive(third)
    rows = station.pvctl("audit", "-o", "json").stdout
    assert admin not in rows
    assert viewer not in rows
    assert [each["object"] for each in json.loads(rows)].count("token/wall") == 4


def refused(station: Station) -> dict[str, float]:
    """What the gateway has refused, by reason, as the metrics tell it."""
    return {
        each.labels["reason"]: each.value
        for family in parser.text_string_to_metric_families(station.pvctl("metrics").stdout)
        for each in family.samples
        if each.name == "procvision_gateway_refusals_total"
    }


def damaged_tokens_are_seen(station: Station, daemon: Daemon) -> None:
    path = station.store / "tokens.json"
    whole = path.read_bytes()
    path.write_text("{")
    station.order(allowUndeclaredPids=True)  # wakes a pass; else it is seen within ten seconds
    daemon.until(lambda each: holds(each, "TokensUnreadable"), "the condition")
    shown = " ".join(station.pvctl("status", expect=None).stdout.split())  # lines are as long as the path lets them
    assert "host: TokensUnreadable: nobody is let in over the network" in shown
    assert "put it back from a copy" in shown
    path.write_bytes(whole)
    station.order(allowUndeclaredPids=False)
    daemon.until(lambda each: holds(each, "TokensUnreadable") is False, "its end")


NEEDS_IPV6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--listen", "0.0.0.0:0"), 64, "must not cross a network in the clear"),
        pytest.param(("--listen", "[::]:0"), 64, "must not cross a network in the clear", marks=NEEDS_IPV6),
        (("--listen", "127.0.0.1"), 64, "is not HOST:PORT"),
        (("--listen", "::1:80"), 64, "is not HOST:PORT"),
        (("--listen", "127.0.0.1:0", "--tls-cert", "x"), 64, "go together"),
        (("--tls-cert", "x", "--tls-key", "y"), 64, "is for --listen"),
        (("--listen", "0.0.0.0:0", "--tls-cert", "CERTIFICATE", "--tls-key", "KEY"), 1, "there is no token"),
        (("--listen", "127.0.0.1:0", "--tls-cert", "KEY", "--tls-key", "KEY"), 1, "not a certificate and its key"),
        (("--listen", "127.0.0.1:0", "--tls-cert", "CERTIFICATE", "--tls-key", "no.key"), 1, "cannot read no.key: No"),
        (("--listen", "192.0.2.1:0"), 1, "cannot listen at 192.0.2.1:0"),
    ],
)
def test_what_would_let_the_network_in_unprotected_does_not_start(
    station: Station, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    certificate, key = make_certificate(tmp_path, "station")
    named = [{"CERTIFICATE": str(certificate), "KEY": str(key)}.get(word, word) for word in words]

    ended = subprocess.run(station.command("run", *named), capture_output=True, text=True, timeout=HANGS, check=False)

    assert (ended.returncode, said in ended.stderr) == (code, True), ended.stderr
    assert "next:" in ended.stderr
    assert not (station.store / "run" / "runner.sock").exists()
