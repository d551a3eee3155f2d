"""One detection as a request: its arguments, its images on their way, and the bytes that go out. No sockets here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import orjson

from controller.client.addresses import Address
from controller.client.arguments import CallArguments
from controller.client.exchange import Buffer, NeverAccepted, request_head
from controller.client.pictures import Encoded, Image, encode, is_slow
from controller.client.slots import Slot, Slots
from controller.errors import CallError, Code

_JSON = "application/json"
_NOTHING_DONE = (Code.busy, Code.no_active_version)
"""Errors of the station that come before anybody is told of a picture."""


Arguments = CallArguments
"""The name that the clients know it by."""


@dataclass(frozen=True, slots=True)
class Target:
    """Who is to answer: `what` is a PID, or NAME@VERSION of a package; `for_pid` is for a package only."""

    what: str
    for_pid: str | None = None

    @property
    def path(self) -> str:
        """The resource. Raises CallError (1003): it is neither, or a PID is given twice."""
        name, at, version = self.what.partition("@")
        if not at and self.for_pid is None:
            return f"/v1/pids/{quote(self.what, safe='')}/execute"
        if not (name and version):
            raise CallError(
                Code.invalid_params,
                f"{self.what[:130]!r} is not NAME@VERSION of a package",
                next_step="pass NAME@VERSION, with for_pid if it matters for which PID; or a PID alone",
            )
        return f"/v1/packages/{quote(name, safe='')}/{quote(version, safe='')}/execute"


class Call:
    """A detection. As a context, it keeps the slots that hold its pictures: given back for the next call where it ended
    with a plain answer (`answered`), deleted in every other case.
    """

    def __init__(self, target: Target, images: Mapping[str, Image], arguments: Arguments, slots: Slots) -> None:
        self._path = target.path
        self._images = images
        self._slots = slots
        self._answered = False
        self._in_doubt = False
        self._document = arguments.to_document()
        if target.for_pid is not None:
            self._document["pid"] = target.for_pid
        self._parts: dict[str, Encoded] = {}
        self._shared: list[Slot] = []

    @property
    def slow(self) -> bool:
        """Whether loading the images takes a disk or a millisecond."""
        return any(is_slow(image) for image in self._images.values())

    def load(self, folder: Path | None) -> None:
        """Read the images, and share those that are arrays through `folder`. Raises CallError (1002)."""
        for role, image in self._images.items():
            encoded = encode(image, f"the {role.replace('_', ' ')}")
            shared = self._share(encoded, folder) if folder is not None and encoded.shared else None
            if shared is None:
                self._parts[role] = encoded
            else:
                self._shared.append(shared)
                self._document[f"{role}_ref"] = shared.id

    def _share(self, image: Encoded, folder: Path) -> Slot | None:
        try:
            return self._slots.put(folder, image)
        except OSError:  # no folder (the daemon never ran) or no room: it goes by value then
            return None

    def request(self, address: Address, timeout: float | None) -> list[Buffer]:
        """Return the request's bytes, in pieces. Raises CallError (1003): the arguments are not JSON."""
        document = self._document if timeout is None else {**self._document, "timeout": timeout}
        try:
            text = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
        except TypeError as error:
            raise CallError(
                Code.invalid_params, f"the arguments cannot be sent as JSON: {error}", next_step="use plain values"
            ) from None
        if not self._parts:
            return request(address, "POST", self._path, [text], _JSON)
        boundary = os.urandom(16).hex()
        body = multipart(boundary, {**self._parts, "request": Encoded([text])})
        return request(address, "POST", self._path, body, f"multipart/form-data; boundary={boundary}")

    def __enter__(self) -> Call:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        again = self._answered and not self._in_doubt
        for slot in self._shared:
            if again:
                self._slots.give_back(slot)
            else:
                slot.remove()

    def answered(self) -> None:
        """Note that the station answered: nobody looks at the pictures any more but under their locks."""
        self._answered = True

    def failed(self, failure: Exception) -> None:
        """Note how an attempt failed; unless certainly nothing was done for it, somebody may still look."""
        nothing_done = isinstance(failure, NeverAccepted) or (
            isinstance(failure, CallError) and failure.code in _NOTHING_DONE
        )
        self._in_doubt = self._in_doubt or not nothing_done


def multipart(boundary: str, parts: Mapping[str, Encoded]) -> list[Buffer]:
    """Return a multipart/form-data body in pieces, none of them copied."""
    body: list[Buffer] = []
    for name, part in parts.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'
        body += [head.encode("ascii"), *part.pieces, b"\r\n"]
    return [*body, f"--{boundary}--\r\n".encode("ascii")]


def request(
    address: Address,
    method: str,
    target: str,
    body: Sequence[Buffer],
    media_type: str = _JSON,
    more: Iterable[tuple[str, str]] = (),
) -> list[Buffer]:
    """Return a request's bytes, in pieces; `more` are further headers."""
    headers = [*([("Content-Type", media_type)] if body else ()), *more]
    if address.token is not None:
        headers.append(("Authorization", f"Bearer {address.token}"))
    head = request_head(method, target, address.host, headers, sum(len(piece) for piece in body))
    return [head + bytes(body[0]), *body[1:]] if body and len(body[0]) < 4096 else [head, *body]
