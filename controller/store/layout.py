"""Where everything in a runtime store is (design section 3.4). Paths only: nothing here touches the disk."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

TYPE_CHECKING = False  # as type checkers know it
if TYPE_CHECKING:
    from controller.model.package import PackageRef


class StoreLayout:
    """The paths of one store. `root` is absolute. No dataclass: their module would cost `pvctl status` 8 ms."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoreLayout) and other.root == self.root

    def __hash__(self) -> int:
        return hash(self.root)

    def __repr__(self) -> str:
        return f"StoreLayout({self.root!r})"

    @classmethod
    def at(cls, root: Path | str) -> StoreLayout:
        return cls(Path(root).absolute())

    @cached_property
    def zips(self) -> Path:
        return self.root / "algorithms" / "zips"

    @cached_property
    def deployed(self) -> Path:
        return self.root / "algorithms" / "deployed"

    @cached_property
    def staging(self) -> Path:
        """Where installations are made before they are renamed into `deployed`; emptied at start."""
        return self.root / "algorithms" / ".staging"

    @cached_property
    def cache(self) -> Path:
        """uv's cache and the wheels that versions share by hard links. Safe to delete while nothing installs."""
        return self.root / "algorithms" / ".cache"

    @cached_property
    def mutation_lock(self) -> Path:
        return self.root / "algorithms" / ".lock"

    @cached_property
    def active(self) -> Path:
        return self.root / "active"

    @cached_property
    def registry(self) -> Path:
        return self.root / "registry.json"

    @cached_property
    def run(self) -> Path:
        return self.root / "run"

    @cached_property
    def controller_lock(self) -> Path:
        """Held by the one controller of the store for as long as it works; names its owner."""
        return self.run / "controller.lock"

    @cached_property
    def socket(self) -> Path:
        return self.run / "runner.sock"

    @cached_property
    def images(self) -> Path:
        """Memory-backed folder for images, shared with the algorithm processes."""
        return self.run / "images"

    @cached_property
    def revision(self) -> Path:
        return self.root / "revisions" / "current.json"

    @cached_property
    def refused(self) -> Path:
        """The trees that were refused lately."""
        return self.root / "revisions" / "refused.json"

    @cached_property
    def rollouts(self) -> Path:
        return self.root / "rollouts"

    @cached_property
    def history(self) -> Path:
        return self.root / "history"

    @cached_property
    def status(self) -> Path:
        return self.root / "status.json"

    @cached_property
    def patch(self) -> Path:
        """What would make git agree with what the controller did by itself; absent where nothing would."""
        return self.root / "status.patch.yaml"

    @cached_property
    def logs(self) -> Path:
        return self.root / "logs"

    @cached_property
    def audit(self) -> Path:
        return self.logs / "audit.jsonl"

    @cached_property
    def audit_lock(self) -> Path:
        """Held while somebody appends to the audit log. In a folder that only the owner may enter."""
        return self.root / ".locks" / "audit"

    @cached_property
    def tokens(self) -> Path:
        """Who may ask over the network; for the owner only."""
        return self.root / "tokens.json"

    @cached_property
    def token_lock(self) -> Path:
        """Held while somebody changes the tokens."""
        return self.root / ".locks" / "tokens"

    @cached_property
    def session_key(self) -> Path:
        """What the page's sessions are signed with; for the owner only."""
        return self.root / ".session-key"

    @cached_property
    def gateway_log(self) -> Path:
        return self.logs / "gateway.log"

    @cached_property
    def controller_log(self) -> Path:
        return self.logs / "controller.log"

    @cached_property
    def operations(self) -> Path:
        """Long acts that were asked for, a document each; made with the first of them."""
        return self.root / "operations"

    @cached_property
    def idempotency(self) -> Path:
        """Answers to requests with an Idempotency-Key; made with the first of them, for its owner only."""
        return self.root / ".idempotency"

    @cached_property
    def recordings(self) -> Path:
        """Recorded calls, a folder for each PID; made with the first of them, for its owner only."""
        return self.root / "recordings"

    @cached_property
    def recordings_index(self) -> Path:
        """What is recorded, to be found quickly; made again from the files where it is gone."""
        return self.recordings / "index.sqlite"

    @cached_property
    def recordings_lock(self) -> Path:
        """Held while somebody adds or removes recorded calls."""
        return self.root / ".locks" / "recordings"

    @cached_property
    def replays(self) -> Path:
        """What came of showing recorded pictures to the versions of rollouts; made with the first replay."""
        return self.root / "replays"

    @cached_property
    def replays_asked(self) -> Path:
        """Those that somebody asked for, while they go on."""
        return self.replays / "asked"

    def replay(self, deployment: str) -> Path:
        return self.replays / f"{deployment}.jsonl"

    def mapping(self, pid: str) -> Path:
        return self.active / f"{pid}.json"

    def pid_history(self, pid: str) -> Path:
        return self.history / f"{pid}.jsonl"

    def package(self, ref: PackageRef) -> Path:
        return self.deployed / ref.name / ref.version

    def receipt(self, ref: PackageRef) -> Path:
        return self.package(ref) / "receipt.json"

    def install_log(self, ref: PackageRef) -> Path:
        return self.logs / "installs" / f"{ref.name}@{ref.version}.log"

    def process_log(self, deployment: str, version: str, replica: int, *, shadow: bool = False) -> Path:
        kind = ".shadow" if shadow else ""  # behind the number, where no version ends
        return self.logs / "algorithms" / deployment / f"{version}-{replica}{kind}.log"

    def replay_log(self, deployment: str, version: str) -> Path:
        return self.logs / "algorithms" / deployment / f"{version}-0.replay.log"

    @cached_property
    def folders(self) -> tuple[Path, ...]:
        """Every folder that a store has from the start."""
        return (
            self.zips, self.deployed, self.staging, self.cache, self.active, self.run, self.revision.parent,
            self.rollouts, self.history, self.logs / "algorithms", self.logs / "installs",
        )  # fmt: skip
