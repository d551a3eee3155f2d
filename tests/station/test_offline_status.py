"""What `pvctl status` tells without a controller: the last document, corrected by what is gone; damage is named."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from controller.errors import StoreError
from controller.station.offline_status import read_offline_status
from tests.builders import deployment, revision
from tests.reconciler.fakes import Rig

LINE = ("line", "screw", "1.0.0", 0, False)


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "store")
    rig.packages.add_zip("screw", "1.0.0")
    await rig.reconcile(revision(deployment("line", "1.0.0", "A01", "A02")))
    return rig


async def test_with_its_processes_alive_the_document_stands_as_it_was_written(rig: Rig) -> None:
    document = read_offline_status(rig.store.layout, [LINE])

    written = orjson.loads(rig.store.layout.status.read_bytes())
    seen_now = {"daemon", "host"}
    assert {key: document[key] for key in written if key not in seen_now} == {  # type: ignore[literal-required]
        key: value for key, value in written.items() if key not in seen_now
    }


async def test_a_deployment_whose_process_is_gone_is_not_called_healthy(rig: Rig) -> None:
    document = read_offline_status(rig.store.layout, [])

    [line] = document["deployments"]
    assert line["phase"] == "Progressing"
    assert line["message"] == "line/screw@1.0.0-0 has ended; run `pvctl reconcile --once`"
    assert document["converged"] is False
    assert [pid["ready"] for pid in document["pids"]] == [False, False]
    assert document["processes"][0]["state"] == "exited"


@pytest.mark.parametrize("content", [b"", b"garbage", b"[]", b"null", b"{}", b'{"deployments":[1]}'])
async def test_damage_is_named_and_a_reconcile_repairs_it(rig: Rig, content: bytes) -> None:
    rig.store.layout.status.write_bytes(content)

    with pytest.raises(StoreError, match=r"status\.json.*pvctl reconcile --once"):
        read_offline_status(rig.store.layout, [LINE])
    outcome = await rig.reconcile(revision(deployment("line", "1.0.0", "A01", "A02")))

    assert outcome.status.converged
    assert read_offline_status(rig.store.layout, [LINE])["converged"] is True


async def test_damaged_tokens_are_seen_without_a_daemon_too(rig: Rig) -> None:
    layout = rig.store.layout

    def found() -> list[bool]:
        conditions = read_offline_status(layout, [LINE])["host"]["conditions"]
        return [each["status"] for each in conditions if each["type"] == "TokensUnreadable"]

    assert found() == []
    layout.tokens.write_text("{")
    assert found() == [True]
    layout.tokens.write_text('{"tokens": []}')
    assert found() == [False]
