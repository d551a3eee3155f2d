"""Runs the SDK's adapter in a package's interpreter, and has it tell where its algorithm raised. Never imported.

Standard library only, any Python since 3.8; as little as possible is imported before the package's own folders are on
the path, so that what shadows a standard module there shadows it here as under `python -m`.

usage: adapter_entry.py MODULE

It does what `python -m MODULE` does, but for four things. The adapter catches what its algorithm raises and answers
with the text of the exception alone: here the `error` frame also carries the algorithm's own frames of the traceback
(`traceback`), its message says the place, and the log gets them too. A value that JSON cannot hold is named by its
place in the result. Where the adapter's frames go through `sys.stdout` (0.0.x), what `print()` writes goes to the log,
as in 0.3.x. And pictures are read by `adapter_pictures.py`. An adapter that is not made as those of 0.0.7 and 0.3.2
are is run as it is.
"""

# ruff: noqa: PTH109, PTH118, PTH119, PTH120, PLC0415, BLE001, SIM115, SLF001
# (few imports, and late ones, see above; telling more must never tell less)

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType, TracebackType
    from typing import Any

LINES = 40
"""Lines of a traceback that are told."""


def main() -> None:
    """Be the adapter: `__main__`, with its own arguments, and the working directory first on the path."""
    sys.path[0] = os.getcwd()
    del sys.argv[0]
    adapter = load(sys.argv[0])
    sys.modules["__main__"] = adapter  # for what starts workers, which import the program again
    sys.argv[0] = str(adapter.__file__)
    if hasattr(adapter, "_write_frame"):
        have_it_read_at_once(adapter)
        have_it_tell_where(adapter)
        if not hasattr(adapter, "_PROTO_OUT"):
            keep_prints_out_of_the_frames()
    adapter.main()


def load(name: str) -> ModuleType:
    """Return a module that can be run, as `python -m` finds it: of a package, its `__main__`."""
    import importlib

    module = importlib.import_module(name)
    return importlib.import_module(f"{name}.__main__") if hasattr(module, "__path__") else module


def keep_prints_out_of_the_frames() -> None:
    """Let what is printed go to stderr, while `sys.stdout.buffer` goes on carrying frames."""
    import io

    frames = open(1, "wb", closefd=False)

    class Printed(io.TextIOWrapper):
        @property
        def buffer(self) -> Any:
            return frames

    log = open(2, "wb", buffering=0, closefd=False)
    sys.stdout = Printed(log, encoding="utf-8", errors="backslashreplace", write_through=True)


def have_it_read_at_once(adapter: ModuleType) -> None:
    """Have pictures read by `adapter_pictures.py`, which stands beside this file."""
    import importlib.util

    try:
        path = os.path.join(os.path.dirname(__file__), "adapter_pictures.py")
        spec = importlib.util.spec_from_file_location("controller_adapter_pictures", path)
        pictures = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]  # of a path there is one
        spec.loader.exec_module(pictures)  # type: ignore[union-attr]
        pictures.install(adapter)
    except Exception as defect:
        sys.stderr.write(f"pictures are read as the SDK reads them: {defect!r}\n")


def have_it_tell_where(adapter: ModuleType) -> None:
    write_frame = adapter._write_frame

    def write(payload: dict[str, Any]) -> None:
        error = sys.exc_info()[1]
        if error is not None and isinstance(payload, dict) and payload.get("type") == "error":
            try:
                payload = explained(payload, error, str(adapter.__file__))
            except Exception as defect:
                sys.stderr.write(f"cannot tell where it raised: {defect!r}\n")
        write_frame(payload)

    adapter._write_frame = write  # type: ignore[attr-defined]  # asked for above


def explained(payload: dict[str, Any], error: BaseException, adapter: str) -> dict[str, Any]:
    """Return an `error` frame with what the exception that is being handled says beyond its text."""
    pictures = os.path.join(os.path.dirname(__file__), "adapter_pictures.py")  # it writes frames, too
    found, ours = error.__traceback__, {adapter, __file__, pictures}
    result = found.tb_frame.f_locals.get("res") if found is not None else None
    while found is not None and found.tb_frame.f_code.co_filename in ours:
        found = found.tb_next
    while_writing = found is not None and str(found.tb_frame.f_globals.get("__name__")).startswith("json")
    unfit = place_of_what_json_lacks(result) if while_writing and isinstance(result, dict) else ""
    if unfit:
        return {**payload, "message": f"{error}: {unfit}"}
    import traceback

    lines = "".join(traceback.format_exception(type(error), error, found)).splitlines()[-LINES:]
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()
    kind, where = type(error).__name__, place(found)
    return {**payload, "message": f"{error or kind} ({kind}{where})", "traceback": lines}


def place(found: TracebackType | None) -> str:
    """Return the innermost place in the package's own code; where it is not in there, the innermost of all."""
    root, last, own = os.path.join(os.getcwd(), ""), "", ""
    while found is not None:
        code = found.tb_frame.f_code
        last = f" in {code.co_name}, {os.path.basename(code.co_filename)} line {found.tb_lineno}"
        if code.co_filename.startswith(root):
            own = f" in {code.co_name}, {code.co_filename[len(root) :]} line {found.tb_lineno}"
        found = found.tb_next
    return own or last


def place_of_what_json_lacks(result: dict[str, Any]) -> str:
    """Return which value of a result JSON has no form for, and what to do; empty where there is none."""
    waiting: list[tuple[str, Any, int]] = [("", result, 0)]
    while waiting:
        path, value, depth = waiting.pop()
        if depth > 50 or value is None or isinstance(value, (str, int, float)):
            continue
        if isinstance(value, dict):
            for key, inner in value.items():
                if not (key is None or isinstance(key, (str, int, float))):
                    return f"{path or 'the result'} has a key that is a {name_of(key)}; use text"
                waiting.append((f"{path}.{key}" if path else str(key), inner, depth + 1))
        elif isinstance(value, (list, tuple)):
            waiting.extend((f"{path}[{index}]", inner, depth + 1) for index, inner in enumerate(value))
        else:
            return f"{path} is a {name_of(value)}; return float(), int(), .tolist() or str() of it"
    return ""


def name_of(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


if __name__ == "__main__":
    main()
