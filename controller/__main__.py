"""The composition root: the one place that builds objects and plugs them together, each imported when asked for."""

from __future__ import annotations

import sys
import time

from controller.cli.app import run
from controller.cli.settings import Settings
from controller.host.clock import utc_now

TYPE_CHECKING = False  # as type checkers know it: importing typing would cost every command 2 ms
if TYPE_CHECKING:
    from pathlib import Path

    from controller.cli.product import Checks
    from controller.host.listening import Listening
    from controller.station.port import Caller, Station
    from controller.station.trees import NamedTree
    from controller.store.layout import StoreLayout


class Product:
    """The parts of the product for one command line's options (`cli.product.Product`)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def caller(self) -> Caller:
        from controller.host.users import own_name
        from controller.station.port import Caller

        return Caller(own_name(), worker=self._settings.worker)

    def station(self) -> Station:
        """Return the station of the store: its daemon where one runs, else the store itself."""
        from controller.station.nearest import NearestStation

        return NearestStation(self._layout(), self._named_tree, self._remote, self._offline)

    def _named_tree(self) -> NamedTree:
        from controller.station.trees import NamedTree

        return NamedTree(self._settings.desired, self._settings.desired_given)

    def _remote(self) -> Station:
        from controller.client.addresses import Address
        from controller.station.remote import RemoteStation

        return RemoteStation(Address.of(self._settings.store, None, None))

    def _offline(self, desired: Path | None) -> Station:
        from controller.reconciler.clock import boot_time
        from controller.station.offline import OfflineStation

        tree = desired or self._settings.desired
        return OfflineStation(self._layout(), tree, utc_now, boot_time, self._log_of_a_command)

    def _log_of_a_command(self) -> None:
        from controller.json_log import log_of_a_command

        log_of_a_command(self._settings.log_level("warning"))

    def _layout(self) -> StoreLayout:
        from controller.store.layout import StoreLayout

        return StoreLayout.at(self._settings.store)

    def checks(self) -> Checks:
        """Return what can be checked with no station."""
        from controller.station.checks import StationlessChecks

        return StationlessChecks(self._layout(), utc_now)

    def openapi(self) -> dict[str, object]:
        """Return the OpenAPI document of the API that a daemon serves."""
        from controller.http.application import endpoints
        from controller.http.openapi import document
        from controller.http.request_body import BodyLimits

        return document(endpoints(self.station(), self._layout().staging, BodyLimits()))

    def run_daemon(self, socket_group: str | None, listening: Listening | None) -> None:
        """Be the daemon, until told to stop; `listening`: also at an address of the network."""
        from controller.host.memory import use_one_arena

        use_one_arena()
        from controller import daemon
        from controller.gateway.process import GatewayProcess
        from controller.host.users import own_name
        from controller.json_log import logging_to
        from controller.packages.deferred import DeferredInstaller
        from controller.reconciler.clock import boot_time
        from controller.sources.folder import FolderSource
        from controller.sources.quiescing import QuiescingTree
        from controller.station.event_loop import run as run_async
        from controller.store.lock import ControllerLock
        from controller.store.store import Store

        desired, store = self._settings.desired, Store.at(self._layout(), utc_now)
        store.create_folders()
        with (
            ControllerLock(store.layout, "run", now=utc_now()) as lock,
            logging_to(store.layout.controller_log, self._settings.log_level("info")),
        ):
            tree = QuiescingTree(desired.absolute(), time.monotonic)
            source = FolderSource(desired, now=utc_now)
            packages = DeferredInstaller(store, utc_now)
            check = (
                sys.executable, "-P", "-m", "controller", "--store", str(store.layout.root.absolute()), "-o", "json",
                "package", "validate",
            )  # fmt: skip
            gateway = GatewayProcess(store.layout, listening, self._settings.log_level("info")) if listening else None
            parts = daemon.Parts(
                store, lock, source, tree, packages, own_name(), boot_time, utc_now, check, socket_group, gateway
            )
            run_async(daemon.run(parts))


def main() -> None:
    """Entry point of `pvctl`."""
    sys.exit(run(sys.argv[1:], Product))


if __name__ == "__main__":
    main()
