"""`receipt.json`: written last into an installation, and what is installed as told by the receipts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import orjson

from controller.errors import StoreError
from controller.model.package import Installation, PackageRef, Receipt
from controller.store.atomic import write_atomic
from controller.store.layout import StoreLayout

_FIELDS = {field.name for field in fields(Receipt)}
_LISTS = {"supported_pids", "python_path", "wheels"}


def store_receipt(path: Path, receipt: Receipt) -> None:
    """Write a receipt durably. Raises StoreError."""
    content = orjson.dumps(asdict(receipt), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    write_atomic(path, content, _parse)


def load_receipt(path: Path) -> Receipt | None:
    """Return the receipt at `path`; None where there is none or it makes no sense. Raises StoreError."""
    try:
        return _parse(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError, KeyError, TypeError):
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error


def find_installations(layout: StoreLayout) -> Iterator[Installation]:
    """Yield what has a receipt under `deployed/`, stands where that says and is whole. Raises StoreError."""
    for path in sorted(layout.deployed.glob("*/*/receipt.json")):
        receipt = load_receipt(path)
        if receipt is not None and layout.receipt(receipt.ref) == path and is_whole(path.parent, receipt):
            yield Installation(receipt, str(path.parent))


def is_whole(folder: Path, receipt: Receipt) -> bool:
    """Whether what a process is started from is still there: its interpreter and its working directory.

    An installation that lost them counts as none, so that it is made again.
    """
    return (folder / "venv" / "bin" / "python").exists() and (folder / receipt.working_directory).is_dir()


def installed_receipt(layout: StoreLayout, ref: PackageRef) -> Receipt | None:
    """Return the receipt of an installed package, None where it is not installed. Raises StoreError."""
    receipt = load_receipt(layout.receipt(ref))
    return receipt if receipt is not None and receipt.ref == ref else None


def is_ours(folder: Path) -> bool:
    """Whether this controller made what stands in `folder`: it has a receipt there, if only a damaged one."""
    return (folder / "receipt.json").is_file()


def _parse(content: bytes) -> Receipt:
    document = orjson.loads(content)
    if not isinstance(document, dict):
        raise TypeError("a receipt is an object")
    known: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in document.items() if key in _FIELDS
    }
    receipt = Receipt(**known)
    if odd := [key for key, value in asdict(receipt).items() if not _is_as_written(key, value)]:
        raise TypeError(f"{', '.join(odd)} of a receipt is of another type")
    return receipt


def _is_as_written(key: str, value: object) -> bool:
    if key in _LISTS:
        texts = isinstance(value, tuple) and all(isinstance(text, str) for text in value)
        return texts or (value is None and key == "supported_pids")
    if key == "steps":
        return isinstance(value, tuple) and all(isinstance(step, dict) for step in value)
    return isinstance(value, str)
