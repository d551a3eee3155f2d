"""What some tests need of the system: programs, which `scripts/set-up-system` installs where it may, and IPv6. Where
something is missing all the same, those tests are skipped, and say why.
"""

from __future__ import annotations

import shutil
import socket

import pytest

_NAMES = {"chromium": ("chromium", "chromium-browser", "google-chrome")}
"""What a program is called elsewhere than on Debian."""


def program(name: str) -> str | None:
    """Return the path of a program, such as `chromium` or `promtool`; None where this system has none."""
    return next((path for each in _NAMES.get(name, (name,)) if (path := shutil.which(each))), None)


def requires(*names: str) -> pytest.MarkDecorator:
    """Return a mark that skips a test, or with `pytestmark` a module, where one of these programs is missing."""
    missing = [name for name in names if program(name) is None]
    return pytest.mark.skipif(
        bool(missing), reason=f"this system has no {', '.join(missing)}; scripts/set-up-system says why"
    )


def has_ipv6() -> bool:
    """Return whether somebody can listen at an address of IPv6 here."""
    try:
        with socket.socket(socket.AF_INET6) as listener:
            listener.bind(("::", 0))
    except OSError:
        return False
    return True
