"""Tells whether a part lies on the conveyor: written for SDK 0.0.x, where a detection is `pre` and then `execute`."""

from __future__ import annotations

from typing import Any

from procvision_algorithm_sdk import BaseAlgorithm, Session, read_image_from_shared_memory

DEFAULT_COVERAGE = 0.4


class LegacyPresenceAlgorithm(BaseAlgorithm):
    def __init__(self) -> None:
        super().__init__()
        self._supported_pids = ["B01"]
        self._bright_from: float | None = None

    def setup(self) -> None:
        """Stands for the loading of a model."""
        self._bright_from = 80.0

    def get_info(self) -> dict[str, Any]:
        coverage = {"key": "min_coverage", "type": "float", "default": DEFAULT_COVERAGE, "min": 0.0, "max": 1.0}
        return {
            "name": "legacy-presence",
            "version": "1.0.0",
            "description": "Tells whether a part lies on the conveyor",
            "supported_pids": self._supported_pids,
            "steps": [{"index": 1, "name": "presence", "params": [coverage]}],
        }

    def pre_execute(
        self,
        step_index: int,
        pid: str,
        session: Session,
        user_params: dict[str, Any],
        shared_mem_id: str,
        image_meta: dict[str, Any],
    ) -> dict[str, Any]:
        if pid not in self._supported_pids:
            return {"status": "ERROR", "message": f"PID {pid} is not supported", "error_code": "1001"}
        if self._bright_from is None:
            return {"status": "ERROR", "message": "setup() did not run", "error_code": "1004"}
        return {"status": "OK", "message": "ready"}

    def execute(
        self,
        step_index: int,
        pid: str,
        session: Session,
        user_params: dict[str, Any],
        shared_mem_id: str,
        image_meta: dict[str, Any],
    ) -> dict[str, Any]:
        image = read_image_from_shared_memory(shared_mem_id, image_meta)
        if image is None:
            return {"status": "ERROR", "message": "no image was given", "error_code": "1002"}
        wanted = float(user_params.get("min_coverage", DEFAULT_COVERAGE))
        coverage = round(float((image.mean(axis=2) > self._bright_from).mean()), 3)
        data: dict[str, Any] = {"result_status": "OK", "defect_rects": [], "debug": {"coverage": coverage}}
        if coverage < wanted:
            data |= {"result_status": "NG", "ng_reason": f"{coverage:.0%} of the picture is part, wanted {wanted:.0%}"}
        return {"status": "OK", "data": data}
