"""Users and groups by name; one without a name has a number to be told by."""

from __future__ import annotations

import grp
import os

import psutil

from controller.host.users import group_id, name_of, own_name

NOBODY_HAS = 2**31 - 7


def test_a_user_is_told_by_name_or_by_number() -> None:
    assert own_name() == name_of(os.getuid()) == psutil.Process().username()
    assert name_of(NOBODY_HAS) == f"uid {NOBODY_HAS}"


def test_a_group_is_found_by_name() -> None:
    group = grp.getgrgid(os.getgid())
    assert group_id(group.gr_name) == group.gr_gid
    assert group_id("no-such-group") is None
