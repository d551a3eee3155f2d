"""The last checks of a package: its environment is built in a folder, and its entry point proven there.

What an install publishes is made here, and so is what a trial throws away.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from controller.model.package import Receipt
from controller.packages import bytecode, venv
from controller.packages.checks import ENTRY_POINT, ENVIRONMENT
from controller.packages.examination import Check, Examination
from controller.packages.journal import Journal
from controller.packages.limits import Limits
from controller.packages.probe import prove
from controller.packages.receipts import find_installations
from controller.packages.unpacking import unpack
from controller.store.layout import StoreLayout

UNPACKED = "unpacked"
"""uv's cache: what earlier releases had in `uv` shares files with installations that may have written to them."""


@dataclass(slots=True)
class Build:
    """One package on its way into `folder`, which must not be there yet."""

    layout: StoreLayout
    limits: Limits
    folder: Path
    journal: Journal
    _sdk_version: str = field(default="", init=False)

    def checks(self) -> tuple[Check, ...]:
        """Return the checks that make the whole installation, in their order. They raise StoreError, too."""
        return (
            replace(ENVIRONMENT, run=self._make_environment),
            replace(ENTRY_POINT, run=self._prove_entry_point),
        )

    def _make_environment(self, found: Examination) -> None:
        inspection, contents = found.inspection()
        self.journal.step("unpacking")
        wheel_folders = unpack(found.archive, contents, inspection.wheels, self.layout.cache / "wheels", self.folder)
        self.journal.step("building the environment")
        self.journal.note(f"for {inspection.interpreter}, from {len(inspection.allowed)} wheels")
        requirements = self.folder.with_name("requirements.txt")
        venv.write_requirements(requirements, inspection.requirements)
        uv = venv.Uv(self.folder.parent, self.layout.cache / UNPACKED, self.limits.build_timeout_s)
        uv.make_venv(self.folder / "venv", inspection.interpreter)
        uv.install(self.folder / "venv", requirements, [wheel_folders[file] for file in sorted(inspection.allowed)])
        name, interpreter = inspection.manifest.name, inspection.interpreter
        if other := bytecode.nearest(find_installations(self.layout), name, interpreter):
            bytecode.inherit(Path(other.folder), self.folder)

    def _prove_entry_point(self, found: Examination) -> None:
        inspection, contents = found.inspection()
        self.journal.step("proving the entry point")
        images = self.folder.with_name("images")
        images.mkdir()
        proof = prove(self.folder, contents, inspection.manifest, images, deadline=self.limits.prove_timeout_s)
        self.journal.note(f"the SDK is {proof.sdk_version}")
        self.journal.quote("the algorithm wrote", proof.output)
        self._sdk_version = proof.sdk_version

    def receipt(self, found: Examination, now: str) -> Receipt:
        """Return the receipt of what was made; `now` is RFC 3339."""
        inspection, contents = found.inspection()
        manifest, interpreter = inspection.manifest, inspection.interpreter
        return Receipt(
            name=manifest.name,
            version=manifest.version,
            digest=inspection.digest,
            entry_point=manifest.entry_point,
            supported_pids=manifest.supported_pids,
            working_directory=contents.working_directory,
            python_path=contents.python_path,
            interpreter=interpreter.executable,
            python_version=interpreter.version,
            sdk_version=self._sdk_version,
            wheels=tuple(sorted(inspection.wheels)),
            installed_at=now,
            description=manifest.description,
            steps=manifest.steps,
        )
