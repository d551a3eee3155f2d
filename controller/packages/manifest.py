"""`manifest.json`: from bytes to a checked `Manifest`. Pure; every refusal is 2001 and names the key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from controller.model.names import NAME_PATTERN, PID_PATTERN, VERSION_PATTERN
from controller.model.package import Manifest, RequiredAsset
from controller.packages.names import invalid_zip, name_problem

_KINDS: dict[type, str] = {str: "text", list: "a list"}
_MOST_DEPTH = 64
_NEXT = "correct the manifest and pack again"


def decode_text(content: bytes, where: str) -> str:
    """Return the text of a file that a person or a Windows tool wrote: UTF-8 or UTF-16 (BOM or not), else GBK.

    UTF-16 is what the `>` of Windows PowerShell writes. Raises PackageError 2001.
    """
    for encoding in (json.detect_encoding(content), "gbk"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise invalid_zip(f"{where} is neither UTF-8, UTF-16 nor GBK text", next_step="save it as UTF-8")


def parse_manifest(content: bytes, where: str) -> Manifest:
    """Return the checked manifest. Keys that are not ours are let be.

    Raises PackageError 2001, naming each key that is wrong.
    """
    try:
        document = json.loads(decode_text(content, where))
        _check_depth(document)
    except (ValueError, RecursionError) as error:
        raise invalid_zip(f"{where} is not JSON: {error}", next_step="correct it and pack again") from error
    if not isinstance(document, dict):
        raise invalid_zip(f"{where} must be an object", next_step=_NEXT)
    keys = _Keys(document)
    manifest = Manifest(
        name=keys.pattern("name", NAME_PATTERN),
        version=keys.pattern("version", VERSION_PATTERN),
        entry_point=keys.entry_point(),
        description=keys.optional("description", str) or "",
        supported_pids=keys.pids(),
        required_assets=keys.assets(),
        steps=keys.steps(),
    )
    if keys.problems:
        raise invalid_zip("; ".join(f"{where}: {problem}" for problem in keys.problems), next_step=_NEXT)
    return manifest


class _Keys:
    """Takes the keys of a manifest, and notes what is wrong with them; what is wrong reads as empty."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self.problems: list[str] = []

    def optional(self, key: str, kind: type) -> Any:
        return self._of_kind(key, self._document.get(key), kind)

    def pattern(self, key: str, pattern: str) -> str:
        value = self._required(key)
        if value and not re.fullmatch(pattern, value):
            self.problems.append(
                f"{key} {value[:100]!r} is not safe as a folder's name: letters, digits, dot, dash and underscore, "
                "starting with a letter or digit, 63 at most"
            )
        return value

    def entry_point(self) -> str:
        value = self._required("entry_point")
        module, colon, name = value.partition(":")
        if value and (not colon or not all(part.isidentifier() for part in [*module.split("."), name])):
            self.problems.append(f"entry_point must be like package.module:Class, got {value[:100]!r}")
        return value

    def pids(self) -> tuple[str, ...] | None:
        value = self.optional("supported_pids", list)
        if value is None:
            return None
        for index, pid in enumerate(value):
            if not isinstance(pid, str):
                self.problems.append(f"supported_pids[{index}] must be text, got {_shown(pid)}")
            elif not re.fullmatch(PID_PATTERN, pid):
                self.problems.append(f"supported_pids[{index}] {pid[:100]!r} is not a safe PID")
        return tuple(dict.fromkeys(pid for pid in value if isinstance(pid, str)))

    def assets(self) -> tuple[RequiredAsset, ...]:
        """Return what `required_assets`, `assets.required` or `assets` names: paths, or objects of paths by their use.

        The SDK's own form is an object for each PID: `{"A01": {"model": "models/a.pt"}}`.
        """
        key, value = "required_assets", self._document.get("required_assets")
        if value is None and isinstance(assets := self._document.get("assets"), dict):
            key, value = ("assets.required", assets["required"]) if "required" in assets else ("assets", None)
        elif value is None:
            key, value = "assets", self._document.get("assets")
        if value is not None and not isinstance(value, list | dict):
            self.problems.append(f"{key} must be a list of paths, or an object of them, got {_shown(value)}")
            return ()
        return tuple(dict.fromkeys(self._paths(value, key, "")))

    def _paths(self, value: Any, where: str, use: str) -> Iterator[RequiredAsset]:
        """Yield the paths in a list, or in an object of paths, lists and objects; null names none."""
        if isinstance(value, str):
            if problem := name_problem(value.removesuffix("/")):
                self.problems.append(f"{where} {value[:100]!r} {problem}")
            yield RequiredAsset(value, use)
        elif isinstance(value, list):
            for index, each in enumerate(value):
                yield from self._paths(each, f"{where}[{index}]", use)
        elif isinstance(value, dict):
            for key, each in value.items():
                yield from self._paths(each, f"{where}.{key}", f"{use}/{key}" if use else key)
        elif value is not None:
            self.problems.append(f"{where} must be text, got {_shown(value)}")

    def steps(self) -> tuple[dict[str, Any], ...]:
        value = self._document.get("steps")
        return tuple(step for step in value if isinstance(step, dict)) if isinstance(value, list) else ()

    def _required(self, key: str) -> str:
        before = len(self.problems)
        value: str = self.optional(key, str) or ""
        if not value and len(self.problems) == before:
            self.problems.append(f"{key} is {'missing' if self._document.get(key) is None else 'empty'}")
        return value

    def _of_kind(self, key: str, value: Any, kind: type) -> Any:
        if value is None or isinstance(value, kind):
            return value
        self.problems.append(f"{key} must be {_KINDS[kind]}, got {_shown(value)}")
        return None


def _check_depth(value: Any, left: int = _MOST_DEPTH) -> None:
    """Refuse what is nested deeper than anything that will have to read or write it can go. Raises ValueError."""
    if not left:
        raise ValueError(f"it is nested more than {_MOST_DEPTH} deep")
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(each, left - 1)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:80]
