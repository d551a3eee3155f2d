"""Every fake beside the port that it stands for, as types: `make lint` checks them, so a fake that drifts fails there.

mypy follows this module into every fake. Parts of the simulated store are held to the real ones by being subclasses.
"""

from __future__ import annotations

from controller import __main__ as composition
from controller.cli.product import Checks, Product
from controller.packages.deferred import DeferredInstaller
from controller.packages.install import Installer
from controller.processes.pool import ProcessPool
from controller.reconciler.ports import Packages, Processes, Replays, Source, Zips
from controller.reconciler.zips import ZipFolder
from controller.replay.replays import RolloutReplays
from controller.sources.folder import FolderSource
from controller.station.checks import StationlessChecks
from controller.station.local import LocalStation
from controller.station.nearest import NearestStation
from controller.station.offline import OfflineStation
from controller.station.port import Station
from controller.station.remote import RemoteStation
from tests.cli.fakes import FakeChecks, FakeProduct, RefusingStation
from tests.reconciler.fakes import FakePackages, FakeProcesses, FakeReplays, FakeSource
from tests.simulator.replays import SimReplays
from tests.simulator.test_real_store import DiskPackages
from tests.simulator.world import SimPackages, SimProcesses, SimulatedPackages, SimZips
from tests.station.fake import FakeStation

STATIONS: tuple[type[Station], ...] = (
    FakeStation, RefusingStation, LocalStation, NearestStation, OfflineStation, RemoteStation,
)  # fmt: skip
SOURCES: tuple[type[Source], ...] = (FakeSource, FolderSource)
PACKAGES: tuple[type[Packages], ...] = (FakePackages, DiskPackages, SimPackages, Installer, DeferredInstaller)
PROCESSES: tuple[type[Processes], ...] = (FakeProcesses, SimProcesses, ProcessPool)
REPLAYS: tuple[type[Replays], ...] = (FakeReplays, SimReplays, RolloutReplays)
ZIPS: tuple[type[Zips], ...] = (SimZips, ZipFolder)
CHECKS: tuple[type[Checks], ...] = (FakeChecks, StationlessChecks)
PRODUCTS: tuple[type[Product], ...] = (FakeProduct, composition.Product)
HISTORIES: tuple[type[SimulatedPackages], ...] = (DiskPackages, SimPackages)
