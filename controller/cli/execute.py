"""`pvctl exec`: one detection through a PID's active version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from controller.cli.output import emit, settings
from controller.cli.parameters import DurationText, JsonOrFile, KeyValue
from controller.cli.settings import global_options

if TYPE_CHECKING:
    from controller.runner.calls import Detection


@click.command("exec")
@click.argument("pid")
@click.option("--image", required=True, type=click.Path(path_type=Path), help="PNG, JPEG, BMP or .npy file.")
@click.option("--guide-image", type=click.Path(path_type=Path), help="Guide image [default: the same image].")
@click.option("--step", default=1, show_default=True, help="Step index, from 1.")
@click.option("--step-desc", default="", help="Step description.")
@click.option("--param", "params", multiple=True, type=KeyValue(), help="A parameter for a 0.0.x package; repeatable.")
@click.option("--guide-info", type=JsonOrFile(), default=None, help="JSON, or @FILE with it, for a 0.3.x package.")
@click.option("--phase", type=click.Choice(["pre", "execute"]), help="Only this phase of a 0.0.x package.")
@click.option("--timeout", type=DurationText(), default=None, help="Wait no longer than this [default: the call's].")
@global_options()
def command(  # noqa: PLR0913, PLR0917 - one for each option of the contract
    pid: str, image: Path, guide_image: Path | None, step: int, step_desc: str,
            params: tuple[tuple[str, Any], ...], guide_info: Any, phase: str | None,
            timeout: float | None) -> int:  # fmt: skip
    """Run one detection on PID through the version that is active for it.

    Exit code 0 for a verdict, OK or NG; 1 where the algorithm answered ERROR or the call failed.

    \b
    Examples:
      pvctl exec A01 --image part.png
      pvctl -o json exec B01 --image part.png --param threshold=0.4
    """
    from controller.runner.calls import DetectionRequest

    request = DetectionRequest(
        pid=pid, image=image, guide_image=guide_image, step_index=step, step_desc=step_desc,
        guide_info=() if guide_info is None else guide_info, params=dict(params), phase=phase, timeout=timeout,
    )  # fmt: skip
    detection = settings().station.execute(request)
    emit(detection.to_document(), lambda: _print(detection))
    return 0 if detection.status == "OK" else 1


def _print(detection: Detection) -> None:
    data = detection.data if isinstance(detection.data, dict) else {}
    verdict = data.get("result_status") or detection.status
    click.echo(f"{detection.pid}: {verdict}  ({detection.name}@{detection.version}, {detection.latency_ms:.1f} ms)")
    for text in (detection.message, data.get("ng_reason")):
        if text:
            click.echo(f"  {text}")
    for rectangle in data.get("defect_rects") or ():
        click.echo(f"  defect at {rectangle}")
