"""`pvctl exec`: one detection through a PID's active version, or through a version that is active."""

from __future__ import annotations

import json
from argparse import Action, ArgumentParser, Namespace
from typing import TYPE_CHECKING

from controller.cli.output import emit, show, write
from controller.cli.parameters import duration, json_or_file, key_value, path, size, whole_number
from controller.cli.parser import Parser, WrongUsage
from controller.cli.settings import Settings
from controller.station.commands.detecting import Detect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from controller.client.answers import Detection
    from controller.model.package import PackageRef

_SIDES = ("x", "y", "width", "height")


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    add = parser.add_argument
    add("target", metavar="PID|NAME@VERSION",
        help="The processing unit; or a package version, which answers while it is active for any PID.")  # fmt: skip
    add("--pid", metavar="PID",
        help="For NAME@VERSION: the PID whose call it is [default: the first that has it active].")  # fmt: skip
    image = add(
        "--image",
        required=True,
        type=path,
        metavar="FILE",
        help="The camera picture of the part (execute's cur_image): PNG, JPEG, BMP, TIFF or .npy file.",
    )
    add(
        "--guide-image",
        type=path,
        metavar="FILE",
        help="The picture that it is compared with (execute's guide_image) [default: as spec.input.guide says].",
    )
    add("--color-space", choices=("RGB", "BGR"), help="Channels of a .npy file; OpenCV's are BGR [default: RGB].")
    add(
        "--pixel-format",
        metavar="NAME",
        help="What a camera calls the format of a .npy, one-channel or raw file: Mono12, BayerRG8, BGR8 and the like.",
    )
    add("--size", type=size, metavar="WxH",
        help="The file is pixels and nothing else, in that format: its width and height.")  # fmt: skip
    add("--camera-id", metavar="TEXT", help="Which camera took the picture, for the algorithm.")
    add("--step", type=whole_number, default=1, metavar="N", help="Step index, from 1 [default: %(default)s].")
    add("--step-desc", default="", metavar="TEXT", help="Step description.")
    add("--param", dest="params", action="append", default=[], type=key_value, metavar="KEY=VALUE",
        help="A parameter for a 0.0.x package; repeatable.")  # fmt: skip
    add("--guide-info", type=json_or_file, metavar="JSON", help="JSON, or @FILE with it, for a 0.3.x package.")
    add(
        "--session",
        type=json_or_file,
        metavar="JSON",
        help='For a 0.0.x package: JSON {"id": TEXT, "context": {...}}, or @FILE with it.',
    )
    add(
        "--phase",
        choices=("pre", "execute", "info"),
        action=_Phase,
        image=image,
        help="Only this phase of a 0.0.x package; info is its get_info() and needs no --image.",
    )
    add("--timeout", type=duration, metavar="DURATION", help="Wait no longer than this [default: the call's].")


class _Phase(Action):
    """Which phase is asked for: `info` looks at no picture, so it needs none."""

    def __init__(self, option_strings: Sequence[str], dest: str, image: Action, **options: Any) -> None:
        super().__init__(option_strings, dest, **options)
        self._image = image

    def __call__(self, parser: ArgumentParser, namespace: Namespace, values: Any, _option: Any = None) -> None:
        self._image.required = values != "info"
        setattr(namespace, self.dest, values)


def run(arguments: Namespace, settings: Settings) -> int:
    """Run one detection on PID through the version that is active for it; on NAME@VERSION through that and no other.

    Exit code 0 for a verdict, OK or NG; 1 where the algorithm answered ERROR or the call failed.

    Examples:
      pvctl exec A01 --image part.png
      pvctl exec screw-check@1.1.0 --image part.png
      pvctl -o json exec B01 --image part.png --param threshold=0.4
      pvctl exec A01 --image part.npy --color-space BGR --guide-image golden.png
      pvctl exec A01 --image camera.raw --pixel-format BayerRG8 --size 1920x1200
      pvctl -o json exec B01 --phase info
    """
    from controller.calls.request import DetectionRequest
    from controller.client.arguments import CallArguments

    given = CallArguments(
        step_index=arguments.step, step_desc=arguments.step_desc, guide_info=arguments.guide_info,
        params=dict(arguments.params), session=arguments.session, phase=arguments.phase, timeout=arguments.timeout,
        color_space=arguments.color_space, camera_id=arguments.camera_id, pixel_format=arguments.pixel_format,
        width=arguments.size and arguments.size[0], height=arguments.size and arguments.size[1],
    )  # fmt: skip
    pid, package = _target(arguments)
    request = DetectionRequest(pid, arguments.image, arguments.guide_image, given, package)
    detection = settings.execute(Detect(request))
    emit(settings, detection.to_document(), lambda: _print(detection))
    return 0 if detection.status == "OK" else 1


def _target(arguments: Namespace) -> tuple[str, PackageRef | None]:
    """Return the PID, which may be empty for a package, and the package. Raises WrongUsage: a PID is given twice."""
    name, at, version = arguments.target.partition("@")
    if at:
        from controller.model.package import PackageRef

        return arguments.pid or "", PackageRef(name, version)
    if arguments.pid is not None:
        raise WrongUsage("--pid is for NAME@VERSION; a PID alone is the first argument", "pvctl exec")
    return name, None


def _print(detection: Detection) -> None:
    data = detection.data if isinstance(detection.data, dict) else {}
    if "info" in data and data.get("phase") == "info":
        write(data["info"], "yaml")
        return
    for line in _lines(detection, data):
        show(line)


def _lines(detection: Detection, data: dict[str, Any]) -> Iterator[str]:
    """Yield what a person reads of a detection: verdict, reason, places; `request` is what `pvctl feedback` takes."""
    verdict = data.get("result_status") or detection.status
    package = f"{detection.name}@{detection.version}"
    yield f"{detection.pid}: {verdict}  ({package}, {detection.latency_ms:.1f} ms)  request {detection.request_id}"
    before = f"pre: {detection.pre['message']}" if detection.pre and detection.pre.get("message") else ""
    reason = _text(data.get("ng_reason") or "")
    for text in (before, detection.message, reason if reason != detection.message else ""):
        if text:
            yield f"  {text}"
    defects = data.get("defect_rects") or []
    for each in defects if isinstance(defects, list) else [defects]:
        yield f"  defect at {_rectangle(each)}"


def _rectangle(found: object) -> str:
    """Return a defect as `x,y width x height (label, score)`; as JSON where it has not this form."""
    fields = found if isinstance(found, dict) else {}
    if isinstance(found, list) and len(found) == len(_SIDES):
        fields = dict(zip(_SIDES, found, strict=True))
    if not all(_is_number(fields.get(side)) for side in _SIDES):
        return _json(found)
    x, y, width, height = (_json(fields[side]) for side in _SIDES)
    notes = []
    rest = {key: value for key, value in fields.items() if key not in _SIDES}
    if isinstance(rest.get("label"), str):
        notes.append(rest.pop("label"))
    if _is_number(rest.get("score")):
        notes.append(f"{rest.pop('score'):.3g}")
    if rest:
        notes.append(_json(rest))
    return f"{x},{y} {width} x {height}" + (f" ({', '.join(notes)})" if notes else "")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: object) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
