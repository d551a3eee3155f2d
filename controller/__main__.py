"""The composition root: the one place that builds objects and plugs them together, each imported when asked for."""

from __future__ import annotations

import os
import sys
import time

from controller.cli.app import run
from controller.cli.settings import Settings

TYPE_CHECKING = False  # as type checkers know it: importing typing would cost every command 2 ms
if TYPE_CHECKING:
    from controller.cli.product import Checks
    from controller.model.rollout import Instant
    from controller.station.port import Caller, Station
    from controller.store.layout import StoreLayout


def utc_now() -> str:
    """Return the present as an RFC 3339 UTC timestamp."""
    from controller.model.timestamps import format_timestamp

    return format_timestamp(time.time())


def boot_time() -> Instant:
    """Return the present on the boot-time clock, which neither stands still in a suspend nor jumps when it is set."""
    from pathlib import Path

    from controller.model.rollout import Instant

    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return Instant(boot, time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


def operating_system_user() -> str:
    """Return the name of the user that runs this process, for the audit."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user need not have a name
        return f"uid {os.getuid()}"


class Product:
    """The parts of the product for one command line's options (`cli.product.Product`)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def caller(self) -> Caller:
        from controller.station.port import Caller

        return Caller(operating_system_user())

    def station(self) -> Station:
        """Return the station of the store: its daemon where one runs, else the store itself."""
        from controller.station.nearest import NearestStation

        return NearestStation(self._layout(), self._remote, self._offline)

    def _remote(self) -> Station:
        from controller.client.addresses import Address
        from controller.station.remote import RemoteStation

        return RemoteStation(Address.of(self._settings.store, None, None))

    def _offline(self) -> Station:
        from controller.station.offline import OfflineStation

        return OfflineStation(self._layout(), self._settings.desired, utc_now, boot_time)

    def _layout(self) -> StoreLayout:
        from controller.store.layout import StoreLayout

        return StoreLayout.at(self._settings.store)

    def checks(self) -> Checks:
        """Return what can be checked with no station."""
        from controller.station.checks import StationlessChecks

        return StationlessChecks(self._layout(), utc_now)

    def run_daemon(self, socket_group: str | None) -> None:
        """Be the daemon, until told to stop."""
        from controller import daemon
        from controller.json_log import log_to
        from controller.packages.install import Installer
        from controller.sources.folder import FolderSource
        from controller.sources.quiescing import QuiescingTree
        from controller.station.event_loop import run as run_async
        from controller.store.lock import ControllerLock
        from controller.store.store import Store

        desired, store = self._settings.desired, Store.at(self._layout(), utc_now)
        store.create_folders()
        with ControllerLock(store.layout, "run", now=utc_now()):
            log_to(store.layout.controller_log, self._settings.log_level("info"))
            tree = QuiescingTree(desired.absolute(), time.monotonic)
            source = FolderSource(desired, now=utc_now)
            revision = store.revision.read()
            packages = Installer(
                store.layout, store.lock, pythons=revision.policy.pythons if revision else (), now=utc_now
            )
            run_async(
                daemon.run(
                    daemon.Parts(
                        store, source, tree, packages, operating_system_user(), boot_time, utc_now, socket_group
                    )
                )
            )


def main() -> None:
    """Entry point of `pvctl`."""
    sys.exit(run(sys.argv[1:], Product))


if __name__ == "__main__":
    main()
