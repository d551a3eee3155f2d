"""`manifest.json`: from bytes to a checked `Manifest`. Pure; every refusal is 2001 and names the key."""

from __future__ import annotations

import json
import re
from typing import Any

from controller.model.names import NAME_PATTERN, PID_PATTERN, VERSION_PATTERN
from controller.model.package import Manifest
from controller.packages.names import check_name, invalid_zip

_KINDS: dict[type, str] = {str: "text", list: "a list", dict: "an object"}


def decode_text(content: bytes, where: str) -> str:
    """Return the text of a file that a person or a Windows editor wrote: UTF-8 (BOM or not), else GBK."""
    for encoding in ("utf-8-sig", "gbk"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise invalid_zip(f"{where} is neither UTF-8 nor GBK text", next_step="save it as UTF-8")


def parse_manifest(content: bytes, where: str) -> Manifest:
    """Return the checked manifest. Keys that are not ours are let be. Raises PackageError 2001."""
    try:
        document = json.loads(decode_text(content, where))
    except (ValueError, RecursionError) as error:
        raise invalid_zip(f"{where} is not JSON: {error}", next_step="correct it and pack again") from error
    if not isinstance(document, dict):
        raise _refused(where, "", "must be an object")
    return Manifest(
        name=_pattern(document, "name", NAME_PATTERN, where),
        version=_pattern(document, "version", VERSION_PATTERN, where),
        entry_point=_entry_point(document, where),
        description=_optional(document, "description", str, where) or "",
        supported_pids=_pids(document, where),
        required_assets=_assets(document, where),
    )


def _refused(where: str, key: str, problem: str) -> Exception:
    subject = f"{where}: {key}" if key else where
    return invalid_zip(f"{subject} {problem}", next_step="correct the manifest and pack again")


def _optional(document: dict[str, Any], key: str, kind: type, where: str) -> Any:
    value = document.get(key)
    if value is not None and not isinstance(value, kind):
        raise _refused(where, key, f"must be {_KINDS[kind]}, got {json.dumps(value, ensure_ascii=False)[:80]}")
    return value


def _required(document: dict[str, Any], key: str, where: str) -> str:
    value: str | None = _optional(document, key, str, where)
    if not value:
        raise _refused(where, key, "is missing" if value is None else "is empty")
    return value


def _pattern(document: dict[str, Any], key: str, pattern: str, where: str) -> str:
    value = _required(document, key, where)
    if not re.fullmatch(pattern, value):
        raise _refused(
            where, key, f"{value[:100]!r} is not safe as a folder's name: letters, digits, dot, dash and underscore, "
            "starting with a letter or digit, 63 at most",
        )  # fmt: skip
    return value


def _entry_point(document: dict[str, Any], where: str) -> str:
    value = _required(document, "entry_point", where)
    module, colon, name = value.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module.split("."), name]):
        raise _refused(where, "entry_point", f"must be like package.module:Class, got {value[:100]!r}")
    return value


def _texts(value: list[Any], key: str, where: str) -> tuple[str, ...]:
    for index, item in enumerate(value):
        if not isinstance(item, str):
            raise _refused(where, f"{key}[{index}]", f"must be text, got {json.dumps(item)[:80]}")
    return tuple(dict.fromkeys(value))


def _pids(document: dict[str, Any], where: str) -> tuple[str, ...] | None:
    value = _optional(document, "supported_pids", list, where)
    if value is None:
        return None
    pids = _texts(value, "supported_pids", where)
    for index, pid in enumerate(pids):
        if not re.fullmatch(PID_PATTERN, pid):
            raise _refused(where, f"supported_pids[{index}]", f"{pid[:100]!r} is not a safe PID")
    return pids


def _assets(document: dict[str, Any], where: str) -> tuple[str, ...]:
    key, value = "required_assets", _optional(document, "required_assets", list, where)
    if value is None:
        key, value = "assets", document.get("assets")
        if isinstance(value, dict):
            key, value = "assets.required", _optional(value, "required", list, f"{where}: assets")
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _refused(where, key, "must be a list of paths")
    assets = _texts(value, key, where)
    for asset in assets:
        check_name(asset)
    return assets
