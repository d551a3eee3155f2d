"""The acts that are being worked on, by object: one at a time for each, whoever wanted it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any

from controller.model.objects import ObjectRef
from controller.reconciler.acts import ActionResult

Results = Coroutine[Any, Any, Sequence[ActionResult]]


class InFlight:
    """Acts from their beginning until their results are taken. `on_result` is called when some have ended."""

    def __init__(self) -> None:
        self.on_result: Callable[[], None] = lambda: None
        self._results: dict[ObjectRef, asyncio.Future[ActionResult]] = {}
        self._tasks: dict[asyncio.Task[Sequence[ActionResult]], tuple[ObjectRef, ...]] = {}
        self._early: list[ActionResult] = []

    @property
    def objects(self) -> frozenset[ObjectRef]:
        """The objects whose results have not been taken yet."""
        return frozenset(self._results)

    def begin(self, objects: Iterable[ObjectRef], work: Results) -> tuple[asyncio.Future[ActionResult], ...]:
        """Begin work on free objects; return what gets their results, in the order of the objects."""
        objects, loop = tuple(objects), asyncio.get_running_loop()
        for object_ in objects:
            if (ended := self._results.pop(object_, None)) is not None:
                self._early.append(ended.result())
        results = {object_: loop.create_future() for object_ in objects}
        task = loop.create_task(work)
        task.add_done_callback(partial(self._end, results))
        self._results |= results
        self._tasks[task] = objects
        return tuple(results.values())

    def _end(
        self, results: dict[ObjectRef, asyncio.Future[ActionResult]], task: asyncio.Task[Sequence[ActionResult]]
    ) -> None:
        self._tasks.pop(task)
        if task.cancelled():
            for each in results.values():
                each.cancel()
        elif (error := task.exception()) is not None:
            for each in results.values():
                each.set_exception(error)
        else:
            for result in task.result():
                results[result.action.object].set_result(result)
        self.on_result()

    def ending(self, object_: ObjectRef) -> asyncio.Future[ActionResult] | None:
        """Return what gets the result of the work on an object, None where it is free."""
        result = self._results.get(object_)
        return None if result is None or result.done() else result

    async def next_results(self, timeout: float | None = None) -> tuple[ActionResult, ...]:
        """Wait for something to end, for `timeout` seconds at most; take the results of all that did."""
        if self._results:
            await asyncio.wait(self._results.values(), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        done = [object_ for object_, result in self._results.items() if result.done()]
        early, self._early = self._early, []
        return (*early, *(self._results.pop(object_).result() for object_ in done))

    async def wait(self, kinds: Collection[str], timeout: float) -> None:
        """Wait for the work on objects of some kinds to end, for `timeout` seconds at most."""
        tasks = [task for task, objects in self._tasks.items() if objects[0].kind in kinds]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)

    async def finish(self, patience: float) -> None:
        """Wait for everything, `patience` seconds at most; what takes longer is given up, to be done anew."""
        if self._tasks:
            _, late = await asyncio.wait(tuple(self._tasks), timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._results.clear()
