"""Every published SDK, from its own scaffold to a detection that the station serves, or to the word what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.end_to_end.sdks import WITH_ADAPTER, WITHOUT_ADAPTER, scaffolded
from tests.end_to_end.station import Station

pytestmark = pytest.mark.real


@pytest.mark.parametrize("sdk", [*WITHOUT_ADAPTER, *WITH_ADAPTER])
def test_a_scaffold_of_every_published_sdk_is_served_or_refused_with_the_reason(
    station: Station, bright: Path, sdk: str
) -> None:
    shutil.copyfile(scaffolded(sdk, "A01"), station.zips / "screws.zip")
    station.desire("screws", "screws", "1.0.0", ["A01"])

    if sdk in WITH_ADAPTER:
        status = station.reconcile()
        answer = station.execute("A01", bright)
        assert (status["converged"], answer["name"], answer["version"]) == (True, "screws", "1.0.0")
        assert (answer["status"], answer["data"]["result_status"]) == ("OK", "OK")
        return

    status = station.reconcile(expect=5)
    (deployment,) = status["deployments"]
    for told in (deployment["message"], station.pvctl("package", "validate", station.zips / "screws.zip", expect=4)):
        text = told if isinstance(told, str) else told.stdout + told.stderr
        assert "has no adapter" in text
        assert "0.0.6" in text
    assert station.mapped("A01") is None
