"""What each role is shown and may do; that nothing a station says becomes markup; that acts go through the station."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable

import pytest

from controller.page.application import Page
from controller.station.commands.operator import Abort, Promote, Resume, Rollback
from controller.station.port import Access
from tests.page.asking import Reply, ask
from tests.page.made_up import MadeUpStation, WithSession, part, record
from tests.waiting import PATIENCE

HOSTILE = "<script>alert('x')</script>\"onload=\"y"


class Shown:
    """A page over a station that is made up, and who looks."""

    def __init__(self) -> None:
        self.station = MadeUpStation(16)
        self.page = Page(self.station)
        self.app = WithSession(self.page)

    async def get(self, path: str, **headers: str) -> Reply:
        return await ask(self.app, path, headers=headers)

    async def act(self, verb: str, **form: str) -> Reply:
        return await ask(self.app, f"/page/acts/{verb}", form={"kind": "deployment", **form})

    async def until(self, path: str, told: Callable[[str], bool]) -> bool:
        """Wait until a page says something."""
        async with asyncio.timeout(PATIENCE):
            while not told((await self.get(path)).text):
                await asyncio.sleep(0.1)
        return True

    def look_as(self, access: Access) -> None:
        self.app = WithSession(self.page, access)


@pytest.fixture
async def shown() -> AsyncIterator[Shown]:
    made = Shown()
    yield made
    await made.page.close()


async def test_the_line_says_in_words_what_is_the_matter_and_shows_every_pid(shown: Shown) -> None:
    text = (await shown.get("/")).text

    assert re.search(r'data-state="rolled-back".*?Rolled back<span>pin-check</span>', text, re.DOTALL)
    assert len(re.findall(r'<li id="pid-', text)) == 16
    assert "Cannot answer: " in text
    for mark in ("held", "pinned", "canary"):
        assert re.search(rf'<li id="pid-\w+" class="[^"]*is-{mark}"><a.*?#s-{mark}"/></svg>{mark}<', text)
    assert re.search(r"1:300 rollback", text)
    assert re.search(r'class="step-current" aria-current="step"><b>pause 10', text)
    assert "In quarantine:</b> pin-check@3.0.0" in text


async def test_what_a_station_says_never_becomes_markup(shown: Shown) -> None:
    row = shown.station.document["pids"][0]
    shown.station.parts[row["pid"]] = part(
        row["pid"], "NG", HOSTILE, message=HOSTILE, request_id=HOSTILE,
        defects=[{"x": 1, "y": 2, "width": 3, "height": 4, "label": HOSTILE, "score": None}],
    )  # fmt: skip
    row |= {"pid": HOSTILE, "active": {"name": HOSTILE, "version": HOSTILE, "activated_at": HOSTILE}}
    shown.station.parts[HOSTILE] = shown.station.parts["A01"]
    deployment = shown.station.document["deployments"][1]
    deployment |= {"name": HOSTILE, "message": HOSTILE, "phase": "Degraded", "quarantined": [HOSTILE], "patch": HOSTILE}
    shown.station.document["packages"][0] |= {"name": HOSTILE, "reason": HOSTILE, "state": HOSTILE}
    shown.station.details[-1] |= {"name": HOSTILE}
    shown.station.details[-1]["quarantine"][0]["reason"] = HOSTILE
    shown.station.records = [record(500, HOSTILE, "pid/A02", HOSTILE, HOSTILE, HOSTILE, worker=HOSTILE)]
    shown.station.log = HOSTILE + json.dumps({"message": HOSTILE, "level": HOSTILE, "time": HOSTILE, HOSTILE: HOSTILE})

    pages = [
        (await shown.get(path)).text
        for path in (
            "/", "/page/packages", "/page/audit", "/page/logs", "/page/pids/A02", f"/page/{HOSTILE}",
            "/page/acts/rollback?subject=%3Cscript%3E&kind=pid",
        )
    ]  # fmt: skip
    pages.append((await shown.act("promote", subject=HOSTILE, reason="refuse")).text)

    for text in pages:
        assert "<script>alert" not in text
        assert not re.search(r'<[^>]*"onload=', text)


async def test_a_viewer_sees_why_acts_are_not_theirs_and_cannot_act(shown: Shown) -> None:
    shown.look_as(Access.viewer)
    text = (await shown.get("/")).text

    assert "Acts need the role operator" in text
    assert re.search(r'class="a-promote" disabled>Promote', text)
    assert "hx-get" not in text
    assert (await shown.get("/page/acts/abort?subject=screw-check&kind=deployment")).status == 403
    assert "Refused" in (await shown.act("abort", subject="screw-check", reason="because")).text
    assert shown.station.acts == []


async def test_a_dialog_names_what_will_happen_to_which_pids(shown: Shown) -> None:
    canary = [each["pid"] for each in shown.station.document["pids"] if each["active"]["version"] == "1.1.0"]
    back = (await shown.get("/page/acts/rollback?subject=screw-check&kind=deployment")).text
    pause = (await shown.get("/page/acts/pause?subject=screw-check&kind=deployment")).text
    one = (await shown.get("/page/acts/rollback?subject=A01&kind=pid")).text

    assert f"<li>{' '.join(canary)} <b>1.1.0 → 1.0.0</b>" in back
    assert f"PIDs that move: {len(canary)}" in back
    assert "No PID changes its version." in pause
    assert "<li>A01 <b>1.0.0 → 1.1.0</b>" in one
    assert "<option>1.1.0</option>" in one
    assert "<option>1.0.0</option>" not in one  # it runs
    assert "<option>1.0.0</option>" in back
    assert "<option>1.1.0</option>" not in back
    forward = (await shown.get("/page/acts/promote?subject=screw-check&kind=deployment")).text
    assert "<li>B01 B02 <b>1.0.0 → 1.1.0</b>" in forward
    assert (await shown.get("/page/acts/promote?subject=nothing")).status == 404
    assert (await shown.get("/page/acts/promote?subject=A01&kind=pid")).status == 404


async def test_an_act_needs_a_reason_and_goes_through_the_station_in_the_viewers_name(shown: Shown) -> None:
    missing = await shown.act("promote", subject="screw-check", reason="  ")
    assert "Say why." in missing.text
    assert shown.station.acts == []

    answer = await shown.act("promote", subject="screw-check", reason=" good \n parts ", full="on")
    await shown.act("rollback", subject="A01", kind="pid", reason="scrap", to="1.0.0", emergency="on")
    await shown.act("resume", subject="A02", kind="pid", reason="fine")
    await shown.act("abort", subject="screw-check", reason="false alarms")

    assert "Promote: will be done" in answer.text
    assert [command for command, _ in shown.station.acts] == [
        Promote("screw-check", full=True, reason="good parts"),
        Rollback("A01", "pid", "1.0.0", True, "scrap"),
        Resume("A02", "pid", "fine"),
        Abort("screw-check", "false alarms"),
    ]
    assert {caller.name for _, caller in shown.station.acts} == {"token:ann"}
    refused = await shown.act("pause", subject="screw-check", reason="refuse")
    assert "nothing is paused" in refused.text
    assert "see `pvctl status`" in refused.text


async def test_a_resumed_pid_moves_to_the_new_version_only_where_the_rollout_has_come_to_it(shown: Shown) -> None:
    resume = "/page/acts/resume?subject=A02&kind=pid"
    rollout = shown.station.details[0]["rollout"]

    assert "No PID changes its version." in (await shown.get(resume)).text
    rollout["state"] = "promoted"
    assert "<li>A02 <b>1.0.0 → 1.1.0</b>" in (await shown.get(resume)).text


async def test_no_act_by_get(shown: Shown) -> None:
    for verb in ("promote", "pause", "resume", "abort", "retry", "rollback", "restart"):
        await shown.get(f"/page/acts/{verb}?subject=screw-check&kind=deployment&reason=because")

    assert shown.station.acts == []


async def test_the_page_speaks_the_viewers_language(shown: Shown) -> None:
    german = await shown.get("/", **{"accept-language": "de-DE,de;q=0.9"})
    chinese = await shown.get("/", cookie="pv_language=zh")
    chosen = await shown.get("/page/language?to=de&next=/page/packages")
    away = await shown.get("/page/language?to=de&next=//elsewhere")

    assert 'lang="de"' in german.text
    assert "Zurückgerollt" in german.text
    assert "已回滚" in chinese.text
    assert (chosen.status, chosen.headers["location"]) == (303, "/page/packages")
    assert "pv_language=de" in chosen.headers["set-cookie"]
    assert away.headers["location"] == "/"


async def test_choices_are_kept_and_many_pids_begin_as_a_wall(shown: Shown) -> None:
    assert 'data-density="large"' in (await shown.get("/")).text
    assert 'data-density="wall"' in (await shown.get("/", cookie="pv_density=wall")).text
    assert 'data-theme="dark"' in (await shown.get("/", cookie="pv_theme=dark; pv_order=nonsense")).text


async def test_somebody_who_is_not_logged_in_gets_the_form_and_why(shown: Shown) -> None:
    shown.app.session = None
    form, again = await shown.get("/page/login?next=/page/audit"), await shown.get("/page/login?refused=token")

    assert (form.status, again.status) == (200, 401)
    assert 'type="password"' in form.text
    assert 'value="/page/audit"' in form.text
    assert "This token is not accepted" in again.text
    assert "sse-connect" not in form.text


async def test_a_picture_that_differs_leads_to_its_recording_where_it_has_one(shown: Shown) -> None:
    one = {"pid": "A01", "request_id": "r7", "before": "NG", "after": "OK", "at": "2027-01-15T08:00:01Z"}
    shown.station.differing = [{**one, "recording": "20270115080001000-0000000001"}, {**one, "recording": ""}]

    text = (await shown.get("/")).text

    assert (
        '<a href="/page/recordings/20270115080001000-0000000001"><code>20270115080001000-0000000001</code></a>' in text
    )
    assert "<code>r7</code> <time" in text


async def test_packages_processes_pictures_and_lines_are_shown(shown: Shown) -> None:
    packages = (await shown.get("/page/packages")).text
    picture = await shown.get("/page/pids/A01/picture?request_id=r-A01")
    lines = await shown.get("/page/series/screw-check")

    assert "2004 requirements.txt wants numpy" in packages
    assert "screw-check/screw-check@1.1.0-2" in packages
    assert (picture.headers["content-type"], picture.body[:2]) == ("image/jpeg", b"\xff\xd8")
    assert '"role":"canary"' in lines.text


async def test_what_is_in_quarantine_is_shown_with_its_reason_and_how_that_ends(shown: Shown) -> None:
    shown.station.document["packages"][0]["digest"] = "sha256:2.9.9"
    text = (await shown.get("/page/packages")).text
    newest, older = re.findall(r"<h3>pin-check.*?</article>", text, re.DOTALL)

    assert "error rate 25.5 % of 3.0.0" in newest
    assert "Retry ends the quarantine" in newest
    assert "/page/acts/retry?subject=pin-check&amp;kind=deployment" in newest
    assert "error rate 25.5 % of 2.9.9" in older
    assert "name it in the desired state; then Retry on pin-check" in older
    assert "/page/acts/" not in older
    assert text.count("installed, in quarantine") == 1
    shown.station.details.pop()
    await shown.act("restart", subject="label-read", reason="so that it is looked at")
    assert await shown.until("/page/packages", lambda text: "In quarantine" not in text)


async def test_a_refused_revision_is_shown_with_file_and_line(shown: Shown) -> None:
    text = (await shown.get("/page/revisions")).text

    assert "<code>desired/screws.yaml:12</code>" in text
    assert "A01 is listed twice" in text
    assert "3f1c9d2b7a4e" in text


async def test_the_audit_is_filtered_and_paged(shown: Shown) -> None:
    first = (await shown.get("/page/audit")).text
    second = (await shown.get("/page/audit?before=142")).text
    found = (await shown.get("/page/audit?actor=token:ann&object=A07")).text

    assert 'href="/page/audit?before=142"' in first
    assert first.count('<tr class="act-succeeded">') == second.count('<tr class="act-succeeded">') == 50
    assert ("pid/A20" in first, "pid/A20" in second) == (True, True)
    assert 'value="A07"' in found
    assert set(re.findall(r"pid/A\d\d", found)) == {"pid/A07"}
    assert (await shown.get("/page/audit?before=nonsense")).status == 200


async def test_an_act_is_one_row_and_one_without_an_end_says_so(shown: Shown) -> None:
    shown.station.records = [
        record(502, "install", "package/a", "failed: the disk is full"),
        record(501, "switch", "pid/A01", "started", worker="mia"),
        record(500, "install", "package/a", "started"),
    ]
    text = (await shown.get("/page/audit", **{"accept-language": "de"})).text

    assert re.search(
        r'act-failed bad">.*package/a.*<span lang="en">failed: the disk is full</span>.*dauerte 2\u202fs', text
    )
    assert re.search(r'act-unfinished bad">.*ann \(mia\).*pid/A01.*nicht beendet', text)
    assert text.count("package/a") == 1


async def test_a_log_is_read_line_by_line_and_what_is_no_record_as_it_is(shown: Shown) -> None:
    shown.station.log = (
        '{"level": "error", "time": "0001-01-01T00:00:00Z", "message": "lamp <b>off</b>", "n": 1}\n  a {b\n'
    )
    text = (await shown.get("/page/logs?subject=screw-check")).text

    assert re.search(
        r'<li class="log-error">.*<b>error</b> <span>lamp &lt;b&gt;off&lt;/b&gt;</span> <i>n=1</i></li>', text
    )
    assert "<li><span>  a {b</span></li>" in text


async def test_a_log_is_shown_and_followed(shown: Shown) -> None:
    whole = (await shown.get("/page/logs?subject=screw-check&follow=yes")).text
    part_of_it = (await shown.get("/page/logs?subject=screw-check&part=yes")).text

    assert 'hx-get="/page/logs?part=yes&amp;subject=screw-check" hx-trigger="every 2s"' in whole
    assert "a line of screw-check" in part_of_it
    assert "<html" not in part_of_it
    assert "a line of the controller" in (await shown.get("/page/logs")).text


async def test_a_pid_has_a_page_with_its_hold_history_and_acts(shown: Shown) -> None:
    held, free = (await shown.get("/page/pids/A02")).text, (await shown.get("/page/pids/A01")).text

    shown.station.records = [
        record(600, "resume", "pid/A01", "succeeded", reason="the scrap is gone"),
        record(599, "switch", "pid/A01", "succeeded", reason="no longer held"),
        record(598, "pause", "deployment/screw-check", "started", reason="a look"),
    ]
    about = (await shown.get("/page/pids/A01")).text.partition("<h2>Acts</h2>")[2]

    assert re.findall(r'<th scope="row">(.*?)</th>', about) == ["pid/A01", "deployment/screw-check"]
    assert "the scrap is gone" in about
    assert "Held on 1.0.0 by ann" in held
    assert "scrap" in held
    assert "/page/acts/resume?subject=A02&amp;kind=pid" in held
    assert "/page/acts/rollback?subject=A01&amp;kind=pid" in free
    assert 'id="pid-A01"' in free
    assert (await shown.get("/page/pids/nothing")).status == 404
