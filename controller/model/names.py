"""What names, versions and PIDs may look like (files are called so), and what a process is called. No imports."""

PID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
VERSION_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,63}"


def process_name(deployment: str, name: str, version: str, replica: int, *, shadow: bool = False) -> str:
    """Return what an algorithm process is called, such as `screws/screw-check@1.1.0-0` or `…@1.1.0-shadow-0`."""
    return f"{deployment}/{name}@{version}{'-shadow' if shadow else ''}-{replica}"
