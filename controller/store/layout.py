"""Where everything in a runtime store is (design section 3.4). Paths only: nothing here touches the disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.model.package import PackageRef


@dataclass(frozen=True, slots=True)
class StoreLayout:
    """The paths of one store. `root` is absolute."""

    root: Path

    @classmethod
    def at(cls, root: Path | str) -> StoreLayout:
        return cls(Path(root).absolute())

    @property
    def zips(self) -> Path:
        return self.root / "algorithms" / "zips"

    @property
    def deployed(self) -> Path:
        return self.root / "algorithms" / "deployed"

    @property
    def staging(self) -> Path:
        """Where installations are made before they are renamed into `deployed`; emptied at start."""
        return self.root / "algorithms" / ".staging"

    @property
    def cache(self) -> Path:
        """uv's cache and the wheels that versions share by hard links. Safe to delete while nothing installs."""
        return self.root / "algorithms" / ".cache"

    @property
    def mutation_lock(self) -> Path:
        return self.root / "algorithms" / ".lock"

    @property
    def active(self) -> Path:
        return self.root / "active"

    @property
    def registry(self) -> Path:
        return self.root / "registry.json"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def controller_lock(self) -> Path:
        """Held by the one controller of the store for as long as it works; names its owner."""
        return self.run / "controller.lock"

    @property
    def socket(self) -> Path:
        return self.run / "runner.sock"

    @property
    def images(self) -> Path:
        """Memory-backed folder for images, shared with the algorithm processes."""
        return self.run / "images"

    @property
    def revision(self) -> Path:
        return self.root / "revisions" / "current.json"

    @property
    def rollouts(self) -> Path:
        return self.root / "rollouts"

    @property
    def history(self) -> Path:
        return self.root / "history"

    @property
    def status(self) -> Path:
        return self.root / "status.json"

    @property
    def patch(self) -> Path:
        """What would make git agree with what the controller did by itself; absent where nothing would."""
        return self.root / "status.patch.yaml"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def audit(self) -> Path:
        return self.logs / "audit.jsonl"

    @property
    def controller_log(self) -> Path:
        return self.logs / "controller.log"

    def mapping(self, pid: str) -> Path:
        return self.active / f"{pid}.json"

    def pid_history(self, pid: str) -> Path:
        return self.history / f"{pid}.jsonl"

    def package(self, ref: PackageRef) -> Path:
        return self.deployed / ref.name / ref.version

    def receipt(self, ref: PackageRef) -> Path:
        return self.package(ref) / "receipt.json"

    def process_log(self, deployment: str, version: str, replica: int) -> Path:
        return self.logs / "algorithms" / deployment / f"{version}-{replica}.log"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder that a store has from the start."""
        return (
            self.zips, self.deployed, self.staging, self.cache, self.active, self.run, self.revision.parent,
            self.rollouts, self.history, self.logs / "algorithms",
        )  # fmt: skip
