"""Feedback on verdicts: what was true of a part, told after its detection, counted for the version that judged it."""

from __future__ import annotations

import asyncio

from controller.calls.data_plane import DataPlane
from controller.client.answers import Detection
from controller.errors import Code, NotApplicable, NotFound
from controller.model.package import PackageRef
from controller.model.tally import PartVerdict
from controller.store.verdicts import GivenVerdict, Truth, VerdictJournal


class Feedback:
    """Keeps which verdicts a data plane gave, and has it count what was true. `journal` outlives the daemon."""

    def __init__(self, journal: VerdictJournal, plane: DataPlane) -> None:
        self._journal = journal
        self._plane = plane
        self._one_by_one = asyncio.Lock()
        plane.report_answers(self._answered)

    def save(self) -> None:
        """Write down the verdicts since the last time; for a thread. Raises OSError: the next time tries again."""
        self._journal.save()

    def _answered(self, detection: Detection, ref: PackageRef) -> None:
        """Keep the verdict of a call, if it has one."""
        match detection.data:
            case {"result_status": "OK" | "NG" as verdict} if detection.status == "OK":
                self._journal.note(GivenVerdict(detection.request_id, detection.pid, ref, verdict))

    async def give(self, request_id: str, truth: PartVerdict, source: str) -> GivenVerdict:
        """Count what was true of a part; return the verdict on it. Told again, it is not counted again.

        Raises:
            CodedError: 1003, no verdict of that id is known (any more), or another truth was told.
            StoreError: the feedback could not be written down; it was not counted.
        """
        async with self._one_by_one:
            given, told = await asyncio.to_thread(self._journal.find, request_id)
            if given is None:
                raise NotFound(
                    Code.invalid_params,
                    f"no verdict of a detection {request_id} is known here (any more)",
                    next_step="pass the request_id of an answer with result_status OK or NG; the last "
                    f"{self._journal.lines:,} at least are known",
                )
            if told is None:
                await asyncio.to_thread(self._journal.tell, Truth(request_id, truth, source))
                self._plane.reviewed(given.pid, given.package, given.verdict, truth)
            elif told.truth != truth:
                raise NotApplicable(
                    Code.invalid_params,
                    f"of {request_id}, {told.source or 'somebody'} told already that the part is {told.truth}",
                    next_step="the first feedback counts; settle it there",
                )
            return given
