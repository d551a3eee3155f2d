"""Names of archive members: how their bytes are decoded and which of them may become paths. Pure.

A refused name is a PackageError 2001; nothing here touches the disk.
"""

from __future__ import annotations

import re
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from controller.errors import Code, PackageError

_UTF8_FLAG = 0x800
_DRIVE = re.compile(r"[A-Za-z]:")
_COMPONENT_BYTES = 255  # what the file systems of Linux take
_PATH_BYTES = 1024  # leaves room below PATH_MAX for the folder of the store


def invalid_zip(message: str, *, next_step: str = "pack it again with `procvision-cli package`") -> PackageError:
    """Return the error for an archive that is refused (2001)."""
    return PackageError(Code.invalid_zip, message, next_step=next_step)


@contextmanager
def found_by(check: str) -> Iterator[None]:
    """Have a PackageError say which check of a zip's directory found it."""
    try:
        yield
    except PackageError as error:
        error.check = check
        raise


def decode_name(info: zipfile.ZipInfo) -> str:
    """Return a member's name: UTF-8 where its flag says so, else UTF-8 or GBK, as packers on Windows write it.

    Raises PackageError 2001 where it is neither.
    """
    name = info.orig_filename
    if info.flag_bits & _UTF8_FLAG:
        return name
    raw = name.encode("cp437")  # zipfile decodes a name without the flag by this table, which loses nothing
    for encoding in ("utf-8", "gbk"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise invalid_zip(f"the member name {raw!r} is neither UTF-8 nor GBK")


def plain_name(name: str) -> str:
    """Return a name without the `./` that `tar -a -cf x.zip .` puts before each; empty for the folder of all."""
    while name.startswith("./"):
        name = name.removeprefix("./")
    return "" if name == "." else name


def check_name(name: str) -> None:
    """Refuse a name that is not a plain relative path in the one spelling it has. Raises PackageError 2001."""
    if problem := name_problem(name):
        raise invalid_zip(f"the member name {name[:200]!r} {problem}")


def name_problem(name: str) -> str:  # noqa: PLR0911 - one line for each rule reads best
    """Return why a name is not a plain relative path in the one spelling it has; empty where it is."""
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        return "holds a control character"
    if "\\" in name:
        return "holds a backslash"
    if name.startswith("/"):
        return "is an absolute path"
    if _DRIVE.match(name):
        return "starts with a drive letter"
    parts = name.removesuffix("/").split("/")
    if ".." in parts:
        return "leaves the package (..)"
    if "" in parts or "." in parts:
        return "holds an empty part"
    if any(len(part.encode()) > _COMPONENT_BYTES for part in parts) or len(name.encode()) > _PATH_BYTES:
        return "is too long"
    return ""


def collision_key(name: str) -> str:
    """Return what two names share that are one file on a system that folds case or composes accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
