"""A job on recorded calls, in a process of its own: a page, a picture, an export, an import, a deletion.

What takes memory or time with pictures is done here and not in the daemon. The job comes as JSON on stdin. A file that
it makes goes to stdout; the last line on stderr is JSON, too: `{"done": …}` with what it came to, or `{"error": …}`,
and there `missing` says whether what was named is not there.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from pydantic import TypeAdapter

from controller.errors import Code, CodedError, ControllerError, NotFound, StoreError, as_coded, our_fault
from controller.host.priority import give_way_to_all
from controller.model.recording import RecordedCall, RecordingFilter
from controller.recordings.drawing import png
from controller.recordings.export import ExportFile, export
from controller.recordings.showing import page_of
from controller.recordings.source import Pictures
from controller.recordings.stored import StoreRecordings
from controller.store.layout import StoreLayout

Said = dict[str, Any]


def _export(store: StoreRecordings, job: Said, out: BinaryIO) -> Said:
    wanted = _filter(job)
    if not store.calls(replace(wanted, last=1)):
        raise NotFound(
            Code.invalid_params, "no recorded call is meant by that", next_step="see `pvctl recordings list`"
        )
    written = export(store, wanted, out)
    return {"calls": written.calls, "gone": written.gone}


def _page(store: StoreRecordings, job: Said, out: BinaryIO) -> Said:
    call, pictures = _found(store, job["id"])
    out.write(page_of(call, pictures).encode())
    return {}


def _picture(store: StoreRecordings, job: Said, out: BinaryIO) -> Said:
    call, pictures = _found(store, job["id"])
    if not job["guide"]:
        out.write(png(pictures.image, call.image.color_space))
        return {}
    if pictures.guide is None or call.guide is None:
        raise NotFound(Code.invalid_params, f"the recorded call {call.id} has no guide picture of its own")
    out.write(png(pictures.guide, call.guide.color_space))
    return {}


def _import(store: StoreRecordings, job: Said, _out: BinaryIO) -> Said:
    try:
        source = ExportFile(Path(job["path"]))
    except StoreError as error:  # whatever is wrong with it, whoever brought it is to bring another
        shown = error.message.replace(job["path"], Path(job["path"]).name)  # an upload's place says nothing
        raise CodedError(Code.invalid_params, shown, next_step=error.next_step) from None
    taken = store.take_over(source, RecordingFilter())
    return {
        "imported": taken.taken, "already_there": taken.already_there, "damaged": taken.damaged + source.damaged,
        "beyond": taken.beyond,
    }  # fmt: skip


def _delete(store: StoreRecordings, job: Said, _out: BinaryIO) -> Said:
    deleted = store.delete(_filter(job))
    few = {"ids": [call.id for call in deleted]} if len(deleted) <= job["few"] else {}
    return {"deleted": len(deleted), "size": sum(call.size for call in deleted), **few}


_DOES: Mapping[str, Callable[[StoreRecordings, Said, BinaryIO], Said]] = {
    "export": _export, "page": _page, "picture": _picture, "import": _import, "delete": _delete,
}  # fmt: skip


def _filter(job: Said) -> RecordingFilter:
    return TypeAdapter(RecordingFilter).validate_python(job["filter"])


def _found(store: StoreRecordings, call_id: str) -> tuple[RecordedCall, Pictures]:
    """Return a call and its pictures. Raises NotFound."""
    for call in store.calls(RecordingFilter(ids=frozenset({call_id}))):
        if (pictures := store.pictures(call)) is not None:
            return call, pictures
        raise NotFound(Code.invalid_params, f"the pictures of the recorded call {call_id} are gone, or damaged")
    raise NotFound(
        Code.invalid_params, f"there is no recorded call {call_id[:80]}", next_step="see `pvctl recordings list`"
    )


def main() -> int:
    """Do one job."""
    logging.disable()  # nobody reads stderr while a file is read, and a full pipe would stop everything
    job = orjson.loads(sys.stdin.buffer.read())
    if job["gives_way"]:
        give_way_to_all()
    store = StoreRecordings(StoreLayout.at(Path(job["store"])))
    last: Said
    try:
        last = {"done": _DOES[job["job"]](store, job, sys.stdout.buffer)}
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # whoever wanted the file left
        return 1
    except ControllerError as error:
        last = {"error": as_coded(error).to_document(), "missing": isinstance(error, NotFound)}
    except OSError as error:
        last = {"error": as_coded(ControllerError(f"cannot read recorded calls: {error.strerror}")).to_document()}
    except Exception:  # noqa: BLE001 - the traceback goes to stderr before it, and so to the log
        sys.excepthook(*sys.exc_info())
        last = {"error": as_coded(our_fault()).to_document()}
    sys.stderr.buffer.write(b"\n" + orjson.dumps(last) + b"\n")
    return 0 if "done" in last else 1


if __name__ == "__main__":
    sys.exit(main())
