"""TLS at the listener: its least version, what does not speak it, and a new certificate without a restart."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from controller.gateway.certificates import BadCertificate, Certificates, load
from tests.gateway.conftest import Serve, said
from tests.gateway.test_refusals import bearer, request
from tests.system import program
from tests.waiting import HANGS, until


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for `localhost` and a name that signs itself, and its key; skip where no openssl makes one."""
    if program("openssl") is None:
        pytest.skip("this system has no openssl")
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    names = f"subjectAltName=DNS:{name},DNS:localhost,IP:127.0.0.1"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", names, "-keyout", str(key), "-out",
         str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def trusting(*certificates: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for each in certificates:
        context.load_verify_locations(each)
    return context


def common_name(connection: ssl.SSLSocket) -> str:
    subject = connection.getpeercert()["subject"]  # type: ignore[index]
    return str(subject[0][0][1])  # type: ignore[index]


async def test_a_new_certificate_is_for_new_handshakes_and_a_broken_one_for_none(serve: Serve, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "first")
    other, other_key = make_certificate(tmp_path, "second")
    context = trusting(certificate, other)
    certificates = Certificates(certificate, key)
    async with serve(certificates=certificates) as gateway:
        token = gateway.token().token

        def connected() -> ssl.SSLSocket:
            return context.wrap_socket(gateway.connect(), server_hostname="localhost")

        before = await asyncio.to_thread(connected)
        assert common_name(before) == "first"
        certificate.write_bytes(other.read_bytes())  # half of a pair
        certificates.reload()
        assert common_name(await asyncio.to_thread(connected)) == "first"
        key.write_bytes(other_key.read_bytes())
        certificates.reload()

        after = await asyncio.to_thread(connected)

        assert common_name(after) == "second"
        for each in (before, after):
            status, answer = await asyncio.to_thread(
                said, each, request("/v1/status", bearer(token), "Connection: close")
            )
            assert status == 200
            assert b"strict-transport-security: max-age=" in answer


async def test_what_does_not_speak_tls_is_told_so_or_given_up(serve: Serve, tmp_path: Path) -> None:
    certificates = Certificates(*make_certificate(tmp_path, "station"))
    async with serve(certificates=certificates, handshake=0.3) as gateway:
        status, answer = await gateway.said(request())
        assert (status, b"use https://" in answer) == (400, True)
        silent, garbage = gateway.connect(), gateway.connect()
        garbage.sendall(b"\x16\x03\x01 nothing of the kind")
        assert await asyncio.to_thread(_end_of, silent) == b""
        await asyncio.to_thread(_end_of, garbage)
        gone = gateway.connect()
        gone.close()  # as what only looks whether somebody listens: no refusal
        await until(lambda: gateway.listener.open == 0, "the end of every connection")
        assert gateway.refused() == {"handshake": 3}


def _end_of(connection: socket.socket) -> bytes:
    connection.settimeout(HANGS)
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


async def test_tls_before_1_2_is_refused(serve: Serve, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "station")
    async with serve(certificates=Certificates(certificate, key)) as gateway:
        old, new = trusting(certificate), trusting(certificate)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        new.maximum_version = ssl.TLSVersion.TLSv1_2

        def speak(context: ssl.SSLContext) -> str | None:
            return context.wrap_socket(gateway.connect(), server_hostname="localhost").version()

        assert await asyncio.to_thread(speak, new) == "TLSv1.2"
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await asyncio.to_thread(speak, old)


def test_a_pair_that_cannot_be_used_says_what_is_wrong(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "one")
    _, other = make_certificate(tmp_path, "two")
    for pair, why in (
        ((certificate, other), "are not a certificate and its key"),
        ((key, key), "are not a certificate and its key"),
    ):
        with pytest.raises(BadCertificate, match=why):
            load(*pair)
    none, nothing = tmp_path / "none", tmp_path / "nothing"
    for pair, missing, options in (
        ((certificate, none), [none], "--tls-key"),
        ((none, key), [none], "--tls-cert"),
        ((none, nothing), [none, nothing], "--tls-cert and --tls-key"),
        ((certificate, tmp_path), [tmp_path], "--tls-key"),
    ):
        with pytest.raises(BadCertificate) as refused:
            load(*pair)
        reason = "Is a directory" if missing == [tmp_path] else "No such file or directory"
        assert refused.value.message == "; ".join(f"cannot read {each}: {reason}" for each in missing)
        assert refused.value.next_step == f"check {options}"
    subprocess.run(
        ["openssl", "ec", "-in", str(key), "-aes128", "-passout", "pass:x", "-out", str(tmp_path / "locked")],
        check=True, capture_output=True,
    )  # fmt: skip
    with pytest.raises(BadCertificate, match="password"):
        load(certificate, tmp_path / "locked")
