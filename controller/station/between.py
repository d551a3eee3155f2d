"""Work by hand beside a store's passes: what is decided here is decided while none of them decides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from controller.model.desired import Revision

NO_REVISION = Revision.model_validate({"id": "none", "source": "", "loadedAt": ""})
"""What is in force where nothing ever was."""
_Result = TypeVar("_Result")


class BetweenPasses(Protocol):
    """Does work while no pass is deciding; where nothing else works on the store, that is at once."""

    async def __call__(self, work: Callable[[], Awaitable[_Result]]) -> _Result: ...


async def at_once(work: Callable[[], Awaitable[_Result]]) -> _Result:
    """Do work where there are no passes."""
    return await work()
