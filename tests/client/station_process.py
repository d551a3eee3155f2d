"""A station in a process of its own, to be killed: the real server over a fake data plane.

usage: python -m tests.client.station_process STORE

A call with step_desc "hang" never ends, nor does the first one with "hang once"; every call is noted in STORE/calls,
one line each, before it is answered.
"""

from __future__ import annotations

import asyncio
import os
import sys

import uvloop

from controller.calls.request import DetectionRequest
from controller.client.answers import Detection
from controller.http.application import application
from controller.http.server import SocketServer
from controller.images.formats import ImageRef, load
from controller.station.trees import tree_at
from controller.store.layout import StoreLayout
from tests.station.fake import FakeStation


class _Plane:
    def __init__(self, layout: StoreLayout) -> None:
        self._layout = layout

    async def execute(self, request: DetectionRequest) -> Detection:
        what = request.arguments.step_desc
        with (self._layout.root / "calls").open("a+") as notes:
            notes.write(f"{what}\n")
            notes.seek(0)
            times = notes.read().split("\n").count(what)
        if what == "hang" or (what == "hang once" and times == 1):
            await asyncio.Event().wait()
        by_reference = isinstance(request.image, ImageRef)
        source = self._layout.images / f"{request.image.id}.npy" if by_reference else request.image
        picture = load(source)
        data = {"shape": list(picture.shape), "sum": sum(picture.pixels), "by_reference": by_reference}
        return Detection(str(os.getpid()), request.pid, "screw-check", "1.0.0", "OK", "", data, 1.0)


async def _serve(layout: StoreLayout) -> None:
    layout.images.mkdir(parents=True, exist_ok=True)
    station = FakeStation(_Plane(layout).execute)
    station.tree = tree_at(layout.root / "desired")
    await SocketServer(application(station, layout), layout).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(StoreLayout.at(sys.argv[1])))
