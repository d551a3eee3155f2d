"""Sessions of the page: a token opens one, a cookie carries it, and nobody else's site can use it."""

from __future__ import annotations

import html
import re
import time
from urllib.parse import urlencode

import pytest

from controller.gateway.refusing import POLICY
from controller.gateway.sessions import IDLE, Signer
from controller.page.sessions import CSRF_HEADER, LOGIN, LOGOUT, RENEW
from tests.gateway.conftest import Served
from tests.http.conftest import Reply

FORM = {"Content_Type": "application/x-www-form-urlencoded"}


async def log_in(gateway: Served, token: str, after: str = "/", **headers: str) -> Reply:
    return await gateway.ask("POST", LOGIN, urlencode({"token": token, "next": after}).encode(), **FORM, **headers)


def cookie_of(reply: Reply) -> str:
    return reply.headers["set-cookie"].split(";")[0]


async def test_a_token_is_exchanged_for_a_cookie_that_scripts_and_other_sites_cannot_use(gateway: Served) -> None:
    made = gateway.token("viewer")

    answer = await log_in(gateway, made.token, "/page/logs")

    assert (answer.status, answer.headers["location"]) == (303, "/page/logs")
    cookie = answer.headers["set-cookie"]
    for attribute in ("HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={IDLE}"):
        assert attribute in cookie
    assert made.token not in cookie
    shown = await gateway.ask("GET", "/", Cookie=cookie_of(answer))
    assert shown.status == 200
    assert shown.headers["content-security-policy"] == POLICY
    assert (shown.headers["x-content-type-options"], shown.headers["referrer-policy"]) == ("nosniff", "same-origin")


async def test_nobody_sees_the_page_without_a_session_and_the_api_takes_no_cookie(gateway: Served) -> None:
    cookie = cookie_of(await log_in(gateway, gateway.token("admin").token))

    assert (await gateway.ask("GET", "/")).headers["location"] == f"{LOGIN}?next=%2F"
    assert (await gateway.ask("GET", "/", Cookie=cookie[:-2])).status == 303
    assert (await gateway.ask("GET", "/page/x", HX_Request="true")).headers["hx-redirect"].startswith(LOGIN)
    assert (await gateway.ask("GET", "/page/events", Accept="text/event-stream")).status == 401
    assert (await gateway.ask("GET", "/v1/status", Cookie=cookie)).status == 401
    assert (await gateway.ask("GET", LOGIN)).status == 200


async def test_a_wrong_token_is_sent_back_to_the_form_and_nowhere_else(gateway: Served) -> None:
    refused = await log_in(gateway, "pvt_x", "//evil.example")

    assert refused.headers["location"] == f"{LOGIN}?refused=token&next=%2F"
    assert "set-cookie" not in refused.headers
    token = gateway.token().token
    for elsewhere in ("//evil.example", "/\\evil.example", "http://evil.example", ""):
        assert (await log_in(gateway, token, elsewhere)).headers["location"] == "/"
    assert (await gateway.ask("POST", LOGIN, b"{}")).status == 415
    assert (await gateway.ask("POST", LOGIN, b"a" * 5000, **FORM)).status == 413


async def test_acts_need_the_sessions_own_word_and_the_stations_own_page(gateway: Served) -> None:
    token = gateway.token("operator").token
    cookie = cookie_of(await log_in(gateway, token))
    signer = Signer.of(gateway.store.layout)
    ticket = signer.read(cookie.partition("=")[2])
    assert ticket is not None
    csrf = {CSRF_HEADER.replace("-", "_"): signer.csrf(ticket)}
    own = {"Origin": f"http://127.0.0.1:{gateway.port}", "Sec_Fetch_Site": "same-origin"}

    async def act(**headers: str) -> int:
        return (await gateway.ask("POST", LOGOUT, b"", Cookie=cookie, **headers)).status

    assert await act() == 403
    assert await act(**{**csrf, CSRF_HEADER.replace("-", "_"): "x"}) == 403
    assert await act(**csrf, Origin="http://evil.example") == 403
    assert await act(**csrf, Sec_Fetch_Site="cross-site") == 403
    assert await act(**csrf, Sec_Fetch_Site="same-site") == 403
    assert await act(**csrf, **own) == 303
    assert (await log_in(gateway, token, Origin="http://evil.example")).status == 403
    other = signer.csrf(signer.new(ticket.token))
    assert await act(**{CSRF_HEADER.replace("-", "_"): other}) == 403


BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept_Language": "de-DE,de;q=0.9,en;q=0.5"}


async def test_a_browser_is_refused_by_a_page_in_its_language_and_a_program_by_json(gateway: Served) -> None:
    cookie = cookie_of(await log_in(gateway, gateway.token("operator").token))
    asked = [
        ("GET", LOGOUT, 405, "Etwas ging schief"),
        ("POST", "/page/acts/pause", 403, "Das dürfen Sie nicht"),
        ("GET", "/v1/status", 401, "Dafür ist ein Token nötig"),
        ("GET", "/page//x", 400, "Etwas ging schief"),
    ]
    for method, path, status, words in asked:
        body = b"" if method == "POST" else None
        page = await gateway.ask(method, path, body, Cookie=cookie, **BROWSER)
        program = await gateway.ask(method, path, body, Cookie=cookie)

        assert (page.status, program.status) == (status, status), path
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["content-security-policy"] == POLICY
        assert page.headers.get("allow") == program.headers.get("allow")
        assert f"<h1>{words}</h1>" in page.body.decode()
        assert program.error["message"] in html.unescape(page.body.decode())


async def test_an_act_that_is_refused_is_told_in_its_dialog(gateway: Served) -> None:
    cookie = cookie_of(await log_in(gateway, gateway.token("operator").token))
    headers = {"HX_Request": "true", "HX_Target": "dialog", "Cookie": f"{cookie}; pv_language=zh"}

    refused = await gateway.ask("POST", "/page/acts/pause", b"", **headers)

    assert (refused.status, refused.headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert "被拒绝" in refused.body.decode()
    assert "load the page again" in refused.body.decode()
    assert "<html" not in refused.body.decode()


async def test_a_session_ends_with_its_token_and_not_with_a_restart(gateway: Served) -> None:
    cookie = cookie_of(await log_in(gateway, gateway.token("viewer", "kiosk", "1h").token))
    assert gateway.store.layout.session_key.stat().st_mode & 0o777 == 0o600
    again = Signer.of(gateway.store.layout).read(cookie.partition("=")[2])  # as another process does
    assert again is not None
    assert (await gateway.ask("GET", RENEW, Cookie=cookie)).status == 204

    gateway.clock[0] += 3601

    ended = await gateway.ask("GET", "/", Cookie=cookie)
    assert ended.headers["location"] == f"{LOGIN}?refused=ended&next=%2F"


def test_a_ticket_is_good_for_twelve_hours_is_renewed_by_use_and_cannot_be_forged() -> None:
    clock = [time.time()]
    signer = Signer(b"k" * 32, lambda: clock[0])
    ticket = signer.new("abc")
    written = signer.written(ticket)

    assert signer.read(written) == ticket
    assert signer.renewed(ticket) is None
    clock[0] += IDLE - 10
    renewed = signer.renewed(ticket)
    assert renewed is not None
    assert signer.csrf(renewed) == signer.csrf(ticket)  # what a page that is open sends is still right
    clock[0] += 20
    assert signer.read(written) is None
    assert signer.read(signer.written(renewed)) == renewed
    ahead = signer.new("abc")._replace(at=int(clock[0]) + 400 * 24 * 3600)
    assert signer.read(signer.written(ahead)) is None  # the clock was wrong, and is set right
    assert Signer(b"x" * 32, lambda: clock[0]).read(signer.written(renewed)) is None
    for forged in ("", ".", "a.b.c.d", re.sub("^abc", "abd", signer.written(renewed)), "ä.ä.ä.ä"):
        assert signer.read(forged) is None


@pytest.mark.parametrize("size", [0, 5])
def test_a_key_that_is_none_is_made_anew(tmp_path: object, size: int) -> None:
    from pathlib import Path

    from controller.store.layout import StoreLayout

    layout = StoreLayout.at(Path(str(tmp_path)))
    layout.session_key.write_bytes(b"x" * size)

    ticket = Signer.of(layout).new("abc")

    assert layout.session_key.stat().st_size == 32
    assert Signer.of(layout).read(Signer.of(layout).written(ticket)) == ticket
