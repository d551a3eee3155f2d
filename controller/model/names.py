"""What names, versions and PIDs may look like: they become names of files and folders. No imports."""

PID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
VERSION_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,63}"
