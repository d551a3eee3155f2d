"""What every test starts from, whatever shell, service or git hook runs them: nothing is said to `pvctl` or to git, and
no proxy stands before this machine itself.
"""

from __future__ import annotations

import os

_SAID = (
    "PVCTL_", "PROC_", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "COLUMNS", "LINES", "NO_COLOR", "GIT_DIR",
    "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY",
)  # fmt: skip
_ABOUT_TESTS = {"PVCTL_SEED", "PVCTL_SIMULATE"}

for _name in [each for each in os.environ if each.startswith(_SAID) and each not in _ABOUT_TESTS]:
    del os.environ[_name]

_OWN_MACHINE = ("127.0.0.1", "localhost")
for _name in ("no_proxy", "NO_PROXY"):
    os.environ[_name] = ",".join(filter(None, (os.environ.get(_name), *_OWN_MACHINE)))
