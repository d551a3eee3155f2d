"""`pvctl exec`: one detection through a PID's active version."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from controller.cli.output import emit, show
from controller.cli.parameters import duration, json_or_file, key_value, path, whole_number
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.station.commands.detecting import Detect

if TYPE_CHECKING:
    from controller.client.answers import Detection


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    add = parser.add_argument
    add("pid", metavar="PID", help="The processing unit.")
    add("--image", required=True, type=path, metavar="FILE", help="PNG, JPEG, BMP or .npy file.")
    add("--guide-image", type=path, metavar="FILE", help="Guide image [default: the same image].")
    add("--step", type=whole_number, default=1, metavar="N", help="Step index, from 1 [default: %(default)s].")
    add("--step-desc", default="", metavar="TEXT", help="Step description.")
    add("--param", dest="params", action="append", default=[], type=key_value, metavar="KEY=VALUE",
        help="A parameter for a 0.0.x package; repeatable.")  # fmt: skip
    add("--guide-info", type=json_or_file, metavar="JSON", help="JSON, or @FILE with it, for a 0.3.x package.")
    add("--phase", choices=("pre", "execute"), help="Only this phase of a 0.0.x package.")
    add("--timeout", type=duration, metavar="DURATION", help="Wait no longer than this [default: the call's].")


def run(arguments: Namespace, settings: Settings) -> int:
    """Run one detection on PID through the version that is active for it.

    Exit code 0 for a verdict, OK or NG; 1 where the algorithm answered ERROR or the call failed.

    Examples:
      pvctl exec A01 --image part.png
      pvctl -o json exec B01 --image part.png --param threshold=0.4
    """
    from controller.calls.request import DetectionRequest
    from controller.client.arguments import CallArguments

    given = CallArguments(
        step_index=arguments.step, step_desc=arguments.step_desc, guide_info=arguments.guide_info,
        params=dict(arguments.params), phase=arguments.phase, timeout=arguments.timeout,
    )  # fmt: skip
    request = DetectionRequest(arguments.pid, arguments.image, arguments.guide_image, given)
    detection = settings.execute(Detect(request))
    emit(settings, detection.to_document(), lambda: _print(detection))
    return 0 if detection.status == "OK" else 1


def _print(detection: Detection) -> None:
    data = detection.data if isinstance(detection.data, dict) else {}
    verdict = data.get("result_status") or detection.status
    show(f"{detection.pid}: {verdict}  ({detection.name}@{detection.version}, {detection.latency_ms:.1f} ms)")
    for text in (detection.message, data.get("ng_reason")):
        if text:
            show(f"  {text}")
    for rectangle in data.get("defect_rects") or ():
        show(f"  defect at {rectangle}")
