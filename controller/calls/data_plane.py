"""The data plane of a daemon: every call from its acceptance to its one end.

It routes, queues, calls and counts. Processes are watched, started and ended elsewhere; it hears of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from controller.calls.aftermath import NOTHING_KEPT, Follower, keep
from controller.calls.detection import CallPlan, call, plan_call, require_guide, share
from controller.calls.dispatch import Dispatcher, Load
from controller.calls.gallery import Copy, Gallery
from controller.calls.last_parts import NOWHERE, LastParts, Part
from controller.calls.pictures import HeldPictures, Images, PictureRoom
from controller.calls.request import DetectionRequest, SharedImages
from controller.calls.routing import Routes
from controller.calls.service import Service
from controller.calls.statistics import CallStatistics
from controller.calls.trial import Trials, is_worth_a_trial
from controller.client.answers import Detection
from controller.errors import CallError, Code, ControllerError
from controller.model.input import PictureInput
from controller.model.objects import unmanaged_name
from controller.model.observed import ProcessKey
from controller.model.package import PackageRef
from controller.model.rollout import Rollout
from controller.model.tally import Counted, PartVerdict, Tally
from controller.processes.conversation import new_request_id
from controller.processes.pool import PoolObserver, ProcessPool
from controller.processes.process import AlgorithmProcess
from controller.store.active import ActiveMappings

_LOOK_EVERY = 1.0
"""Seconds between two looks whether calls that wait for a version without a process have a better place to wait."""
_MAPPINGS_A_LOOK = 200
"""Mappings that are read in one look, before their first call: a few milliseconds of the calls' own loop."""
_NEVER = float("inf")


@dataclass(slots=True)
class _Reached:
    """A call that has met the process which answers it; the pixels are loaded, the call lock is held."""

    dispatcher: Dispatcher
    process: AlgorithmProcess
    request: DetectionRequest
    images: Images
    leave: float
    copy: Copy | None = None


class DataPlane(PoolObserver):
    """Answers detections through the processes of a pool. Calls are taken from the moment the pool is open."""

    def __init__(self, pool: ProcessPool, active: ActiveMappings, gallery: Gallery | None = None) -> None:
        self._pool = pool
        self._routes = Routes(active)
        self._services: Mapping[str, Service] = {}
        self._by_pid: dict[str, Service] = {}
        self._dispatchers: dict[tuple[str, PackageRef], Dispatcher] = {}
        self._statistics = CallStatistics()
        self._hear_answer: Callable[[Detection, PackageRef], None] = lambda *_: None
        self.parts = LastParts()
        self.gallery = gallery or Gallery()
        self._pictures = PictureRoom(str(pool.images))
        self._trials = Trials()
        self._followers: tuple[Follower, ...] = ()
        self._looking: asyncio.TimerHandle | None = None
        self._stopped = False
        pool.subscribe(self)

    # Its life.

    async def start(self) -> None:
        """Begin to look after calls that wait. Calls need not wait for this."""
        self._look()

    async def stop(self) -> None:
        """Take no more calls, and send those that wait away. The processes go on.

        A call that a process works on is answered for as long as the pool stays open.
        """
        self._stopped = True
        self._pool.unsubscribe(self)
        if self._looking is not None:
            self._looking.cancel()
        for dispatcher in self._dispatchers.values():
            dispatcher.close(_stopping())
        await self.gallery.close()

    def configure(self, services: Mapping[str, Service]) -> None:
        """Take what holds for the deployments from now on, by their names. Nothing is restarted for it."""
        self._services = dict(services)
        before = self._by_pid
        self._by_pid = {pid: service for service in services.values() for pid in service.pids}
        self.parts.forget(gone := before.keys() - self._by_pid.keys())
        self.gallery.forget(gone)
        self._routes.get_to_know(self._by_pid, _MAPPINGS_A_LOOK)
        self._statistics.serve(self._by_pid)
        for (deployment, _), dispatcher in self._dispatchers.items():
            dispatcher.service = self._services.get(deployment, dispatcher.service)
            dispatcher.tidy()
        for key in [key for key, dispatcher in self._dispatchers.items() if dispatcher.unused]:
            del self._dispatchers[key]
        self._send_on()

    def follow(self, *followers: Follower) -> None:
        """Have these follow every call about a part."""
        self._followers = followers

    def judge(self, rollouts: Mapping[str, Rollout]) -> None:
        """Take the rollouts whose targets are judged from now on, by their deployments."""
        self._trials.judge(rollouts)

    # Calls.

    async def execute(self, request: DetectionRequest) -> Detection:
        """Return the answer of the version that is active for the PID when the call is accepted.

        A call is accepted when it is put into the queue of a version, and that version answers it also when the PID is
        switched meanwhile. While the version has no process that could answer, nothing has been accepted: the call
        waits, goes where the PID is switched to, and fails with 1004 in the end. A call for a package goes to no other
        version: it goes on as a call of the next PID that has it active, and fails with 1012 where none has.

        Raises:
            CallError: 1002–1012 (design 3.5); with `caller_timeout` in its details where the caller left early.
            StoreError: the mapping could not be read.
        """
        with self._pictures.share() as pictures:
            reached: _Reached | None = None
            try:
                reached = await self._reach(request, pictures)
                return await self._call(reached)
            except ControllerError as error:
                if reached is None and isinstance(error, CallError):
                    self._statistics.turned_away(request.pid, error)
                self._note_failed(request if reached is None else reached.request, reached, error)
                raise

    async def _reach(self, asked: DetectionRequest, pictures: HeldPictures) -> _Reached:
        """Return the process that answers a call; its call lock is then held."""
        since = time.monotonic()
        timeout = asked.arguments.timeout
        leave = _NEVER if timeout is None else since + timeout
        while True:
            self._require_open()
            request, ref = self._routes.route(asked, self._by_pid)
            dispatcher = self._dispatcher(request.pid, ref)
            require_guide(request, wanted := self._input(request.pid, dispatcher))
            queue = dispatcher.admit(request.pid)
            try:
                images = await pictures.load(request, wanted)
                self._require_open()
                process = dispatcher.take() or await dispatcher.wait(queue, since, leave)
            finally:
                dispatcher.leave(queue)
            if process is None:
                continue
            if process.failure is None:
                return _Reached(dispatcher, process, request, images, leave)
            process.release()  # it broke between being given and being taken

    def _require_open(self) -> None:
        if self._stopped:
            raise _stopping()

    def _dispatcher(self, pid: str, ref: PackageRef) -> Dispatcher:
        """Return where a PID's calls for a version go now."""
        service = self._by_pid.get(pid)
        deployment = service.deployment if service else unmanaged_name(ref.name)
        dispatcher = self._dispatchers.get((deployment, ref))
        if dispatcher is not None and dispatcher.serving:
            return dispatcher
        for (_, other), substitute in self._dispatchers.items():  # another deployment's process of the same version
            if other == ref and substitute.serving:
                return substitute
        if dispatcher is None:
            service = service or self._services.get(deployment) or Service(deployment=deployment)
            dispatcher = self._dispatchers[deployment, ref] = Dispatcher(ref, service)
        return dispatcher

    def _input(self, pid: str, dispatcher: Dispatcher) -> PictureInput:
        """Return which pictures a PID's algorithm gets: as its own deployment says, whoever's process answers it."""
        return self._by_pid.get(pid, dispatcher.service).input

    async def _call(self, reached: _Reached) -> Detection:
        dispatcher, process, request = reached.dispatcher, reached.process, reached.request
        dispatcher.last_pid = request.pid
        kept = NOTHING_KEPT
        try:
            shared, plan = self._share(reached)
            kept = keep(self._followers, process, request, dispatcher.ref, shared)
            try:
                outcome: Detection | CallError = await call(process, request, plan, shared)
            except CallError as error:
                outcome = error
        except BaseException:
            kept.drop()
            raise
        finally:
            process.release()
        kept.tell(request, process.key.deployment, dispatcher.ref, outcome)
        await self._conclude(reached, outcome)
        if isinstance(outcome, CallError):
            raise outcome
        return outcome

    def _share(self, reached: _Reached) -> tuple[SharedImages, CallPlan]:
        """Put the pictures of a call where its process finds them. Raises CallError, as for no version's doing."""
        process, request = reached.process, reached.request
        try:
            plan = plan_call(process, request, None if reached.leave == _NEVER else reached.leave)
            shared = share(process, reached.images, request, self._input(request.pid, reached.dispatcher))
        except CallError as error:
            self._statistics.turned_away(request.pid, error)
            raise
        if self.gallery.wanted:
            reached.copy = self.gallery.copy(request.pid, shared.image)
        return shared, plan

    async def _conclude(self, reached: _Reached, outcome: Detection | CallError) -> None:
        """Count what a call came to, and show it."""
        dispatcher, request = reached.dispatcher, reached.request
        if isinstance(outcome, Detection):
            dispatcher.took(outcome.latency_ms / 1000)
        if request.is_info:  # no part was looked at, so it is no sample of how well the version does that
            return
        await self._count(dispatcher, reached.process, request, reached.images, outcome, reached.leave)
        if isinstance(outcome, Detection):
            self._hear_answer(outcome, dispatcher.ref)
            if request.arguments.phase != "pre":  # what comes before the verdict is none
                part = self.parts.answered(outcome, dispatcher.ref)
                if self.gallery.wanted:
                    self._picture(part, reached)

    def _note_failed(self, request: DetectionRequest, reached: _Reached | None, error: ControllerError) -> None:
        """Note that a part got no answer. A call for a PID that is not known here was for no part of this station."""
        pid = request.pid
        if not (self._stopped or request.is_info) and (pid in self._by_pid or self.parts.last(pid)):
            ref = NOWHERE if reached is None else reached.dispatcher.ref
            part = self.parts.failed(pid, new_request_id(), error, ref)
            unsure = isinstance(error, CallError) and error.code is Code.shared_memory_not_found
            if reached is not None and self.gallery.wanted and not unsure:
                self._picture(part, reached)

    def _picture(self, part: Part, reached: _Reached) -> None:
        request = reached.request
        order = request.arguments.channel_order(self._input(request.pid, reached.dispatcher).color_space)
        self.gallery.offer(part, reached.copy, request.image, reached.images.image, order)

    async def _count(
        self, dispatcher: Dispatcher, process: AlgorithmProcess, request: DetectionRequest, images: Images,
        outcome: Detection | CallError, leave: float,
    ) -> None:  # fmt: skip
        """Count what a call came to, unless it is the input's doing: then it fails on the stable version too."""
        stable = self._stable_process(dispatcher, request.pid) if is_worth_a_trial(outcome, process) else None
        excused, wanted = False, self._input(request.pid, dispatcher)
        try:
            if stable is not None:
                excused = await self._trials.fails_too(stable, request, images, wanted, leave)
        finally:  # also where the caller leaves meanwhile
            self._note(dispatcher, process, request, outcome, excused=excused)

    def _note(
        self, dispatcher: Dispatcher, process: AlgorithmProcess, request: DetectionRequest,
        outcome: Detection | CallError, *, excused: bool,
    ) -> None:  # fmt: skip
        if excused:
            self._statistics.excused(request.pid, dispatcher.ref)
        elif isinstance(outcome, Detection):
            self._statistics.answered(outcome, dispatcher.ref)
        elif not self._stopped:
            self._statistics.failed(request.pid, process, outcome)

    def _stable_process(self, dispatcher: Dispatcher, pid: str) -> AlgorithmProcess | None:
        """Return a process of the version that the dispatcher's one is judged against; None where none can answer."""
        deployment = dispatcher.service.deployment
        stable = self._trials.stable(deployment, dispatcher.ref, pid)
        other = self._dispatchers.get((deployment, stable)) if stable is not None else None
        return other.at_hand() if other is not None and other is not dispatcher else None

    # Processes.

    def process_ready(self, process: AlgorithmProcess) -> None:
        key = process.key
        if key.shadow:  # no call of the line is ever given to one
            return
        dispatcher = self._dispatchers.get((key.deployment, key.ref))
        if dispatcher is None:
            service = self._services.get(key.deployment) or Service.of_process(process.spec)
            dispatcher = self._dispatchers[key.deployment, key.ref] = Dispatcher(key.ref, service)
        dispatcher.join(process)
        self._send_on()

    async def process_stopping(self, process: AlgorithmProcess, patience: float) -> None:
        dispatcher = self._dispatchers.get((process.key.deployment, process.key.ref))
        if dispatcher is not None and not process.key.shadow:
            await dispatcher.drain(process, patience)

    def process_exited(self, process: AlgorithmProcess) -> None:
        if process.key.shadow:
            return
        self._statistics.ended(process, self._last_pid(process.key))
        self._send_on()

    def _last_pid(self, key: ProcessKey) -> str:
        """Return whose call a process of this version had last; else any PID that it stands ready for."""
        dispatcher = self._dispatchers.get((key.deployment, key.ref))
        if dispatcher is not None and dispatcher.last_pid:
            return dispatcher.last_pid
        service = self._services.get(key.deployment)
        return next(iter(service.pids), "") if service else ""

    def _look(self) -> None:
        self._routes.get_to_know(self._by_pid, _MAPPINGS_A_LOOK)
        self._send_on()
        self.gallery.tend()
        self._looking = asyncio.get_running_loop().call_later(_LOOK_EVERY, self._look)

    def _send_on(self) -> None:
        """Route the calls again that wait where no process can answer and would now be put elsewhere."""
        for dispatcher in [
            dispatcher for dispatcher in self._dispatchers.values() if dispatcher.waiting and not dispatcher.serving
        ]:
            dispatcher.send_on(partial(self._belongs_elsewhere, dispatcher))

    def _belongs_elsewhere(self, here: Dispatcher, pid: str) -> bool:
        try:
            ref = self._routes.version(pid, served=pid in self._by_pid)
            return self._dispatcher(pid, ref) is not here
        except ControllerError:  # the call itself is to hear of it
            return True

    # Health.

    def loads(self) -> Iterator[tuple[str, PackageRef, Load]]:
        """Yield how busy each version of each deployment is now."""
        for (deployment, ref), dispatcher in self._dispatchers.items():
            yield deployment, ref, dispatcher.load

    @property
    def turned_away(self) -> Mapping[tuple[str, str], int]:
        """How many calls were no sample of any version, by PID (empty: of no deployment) and reason."""
        return self._statistics.not_counted

    async def settle(self) -> None:
        """Prepare the next `tallies` in small steps; calls have their turn meanwhile."""
        await self._statistics.settle()

    def tallies(self) -> Mapping[Counted, Tally]:
        """Return what calls came to, per PID and version, since the counts that were restored."""
        return self._statistics.tallies()

    def last_errors(self) -> Mapping[Counted, str]:
        """Return the words of the latest failure that counted, by PID and version."""
        return dict(self._statistics.last_errors)

    def report_failing(self, hear: Callable[[], None]) -> None:
        """Have `hear` called at each failure that counts: a verdict may not wait for the next look."""
        self._statistics.on_failing = hear

    def report_answers(self, hear: Callable[[Detection, PackageRef], None]) -> None:
        """Have `hear` called with each answer about a part, and the version that gave it. It must not wait."""
        self._hear_answer = hear

    def reviewed(self, pid: str, ref: PackageRef, verdict: PartVerdict, truth: PartVerdict) -> None:
        """Count what was true of a part that a version judged."""
        self._statistics.reviewed(pid, ref, verdict, truth)

    def restore(self, tallies: Mapping[Counted, Tally]) -> None:
        """Count on from an earlier life's tallies; calls that were counted already stay counted."""
        self._statistics.restore(tallies)

    def forget(self, counted: Iterable[Counted]) -> None:
        """Drop counts and words that nobody will ask for again. What is still counted there begins anew."""
        self._statistics.forget(counted)


def _stopping() -> CallError:
    return CallError(
        Code.not_initialized, "the controller is stopping", next_step="call again", details={"retry_after": 1.0}
    )
