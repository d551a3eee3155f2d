"""The page over a real daemon with a real package: what it shows is what that daemon says, and so are its acts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest

from controller.client import Client
from controller.client.addresses import Address
from controller.page.application import Page
from controller.station.port import Access
from controller.station.remote_async import AsyncRemoteStation
from examples.packing import OK, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.page.asking import ask
from tests.page.made_up import WithSession

pytestmark = pytest.mark.real

IMAGE = np.full((48, 64, 3), 200, np.uint8)


@pytest.fixture
def daemon(station: Station) -> Iterator[Daemon]:
    build_package(station.zips, name="cell", source=OK)
    station.desire("line", "cell", "1.0.0", ["A01", "A02"])
    daemon = Daemon(station)
    daemon.start()
    daemon.until(lambda status: status["converged"], "convergence")
    yield daemon
    daemon.leave_nothing()


@pytest.fixture
async def app(station: Station, daemon: Daemon) -> AsyncIterator[WithSession]:
    page = Page(AsyncRemoteStation(Address.of(station.store, None, None)))
    yield WithSession(page, Access.operator)
    await page.close()


async def test_pages_show_what_a_real_daemon_says_and_acts_are_carried_out_by_it(
    station: Station, daemon: Daemon, app: WithSession
) -> None:
    with Client(store=station.store) as client:
        client.execute("A01", IMAGE)
    line = (await ask(app, "/")).text
    assert 'data-state="converged"' in line
    assert '<li id="pid-A02" class="tile v-none"' in line
    shown = await ask(app, "/page/events?scope=station&place=none", until='id="pid-A01" class="tile v-OK"')
    assert shown.headers["content-type"].startswith("text/event-stream")

    assert "cell 1.0.0" in (await ask(app, "/page/pids/A01")).text
    assert "screws" not in (await ask(app, "/page/revisions")).text
    assert "line" in (await ask(app, "/page/revisions")).text
    assert (await ask(app, "/page/audit?object=A01")).text.count("<td>switch</td>") == 1
    assert "act-unfinished" not in (await ask(app, "/page/audit")).text
    assert "listening" in (await ask(app, "/page/logs")).text
    assert 'class="scroll log"' in (await ask(app, "/page/logs?subject=line")).text
    assert (await ask(app, "/page/logs?subject=nothing")).text.count('class="refused"') == 1
    assert '"deployment":"line"' in (await ask(app, "/page/series/line")).text
    assert (await ask(app, "/page/pids/nothing")).status == 404
    assert (await ask(app, "/page/pids/A02/picture?request_id=none")).status in {404, 410}

    asked = (await ask(app, "/page/acts/restart?subject=line&kind=deployment")).text
    assert "Processes: 1" in asked
    form = {"subject": "line", "kind": "deployment", "reason": "the page's test"}
    await ask(app, "/page/acts/restart", form=form)
    refused = (await ask(app, "/page/acts/promote", form=form)).text
    assert "no rollout of line is under way" in refused

    record = (await ask(app, "/page/audit?action=restart")).text
    assert "the page&#39;s test" in record
    assert "token:ann" in record

    following = ask(app, "/page/events?scope=station&place=none", until='data-state="cut"')
    daemon.kill()
    assert "has not answered since" in (await following).text
