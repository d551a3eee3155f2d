"""Routes: a stat decides, a damaged file does not stop the line, a removed one does."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from controller.calls.request import DetectionRequest
from controller.calls.routing import Routes
from controller.errors import CallError, Code, StoreError
from controller.model.observed import ActiveMapping
from controller.model.package import PackageRef
from controller.store.active import ActiveMappings
from controller.store.layout import StoreLayout

OLD, NEW = PackageRef("screw-check", "1.0.0"), PackageRef("screw-check", "1.1.0")


@pytest.fixture
def active(tmp_path):
    layout = StoreLayout.at(tmp_path)
    layout.active.mkdir()
    return ActiveMappings(layout)


def switch(active, ref, pid="A01"):
    active.write_all({pid: ActiveMapping(ref.name, ref.version, "2026-01-02T03:04:05Z")}, lambda _: None)


def test_a_switch_is_seen_by_the_next_look_and_nothing_is_read_twice(active, monkeypatch):
    routes = Routes(active)
    switch(active, OLD)
    reads = []
    monkeypatch.setattr(active, "read", lambda pid: (reads.append(pid), ActiveMappings.read(active, pid))[1])
    assert [routes.version("A01") for _ in range(5)] == [OLD] * 5
    assert reads == ["A01"]
    switch(active, NEW)
    assert [routes.version("A01") for _ in range(5)] == [NEW] * 5
    for ref in (OLD, NEW) * 50:
        switch(active, ref)
        assert routes.version("A01") == ref


@pytest.mark.parametrize("damage", [b"", b"{", b'{"name": "x"}', b"\0" * 80])
def test_damage_goes_on_with_what_was_good_until_it_is_repaired(active, damage):
    routes = Routes(active)
    switch(active, OLD)
    assert routes.version("A01") == OLD
    Path(active.path("A01")).write_bytes(damage)
    assert [routes.version("A01"), routes.version("A01")] == [OLD, OLD]
    switch(active, NEW)
    assert routes.version("A01") == NEW
    Path(active.path("A02")).write_bytes(damage)
    with pytest.raises(CallError, match="damaged") as caught:
        routes.version("A02")
    assert caught.value.code is Code.no_active_version


def test_a_mapping_that_is_gone_is_gone_at_once_and_may_come_back(active):
    routes = Routes(active)
    switch(active, OLD)
    assert routes.version("A01") == OLD
    active.remove("A01")
    for _ in range(2):
        with pytest.raises(CallError) as caught:
            routes.version("A01")
        assert caught.value.code is Code.no_active_version
    switch(active, NEW)
    assert routes.version("A01") == NEW


def test_a_mapping_that_somebody_deleted_costs_a_served_pid_no_call(active, caplog):
    routes = Routes(active)
    switch(active, OLD, "A01")
    switch(active, OLD, "A02")
    routes.get_to_know(["A01", "A02", "A03"], most=1)
    for pid in ("A01", "A02"):
        Path(active.path(pid)).unlink()
    assert [routes.version("A01", served=True) for _ in range(3)] == [OLD] * 3
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "A01.json is gone; calls go on with screw-check@1.0.0 until it is restored" in caplog.text
    with pytest.raises(CallError, match="no version is active"):
        routes.version("A02", served=True)  # never looked at, so nothing is known of it
    switch(active, NEW, "A01")
    assert routes.version("A01", served=True) == NEW
    Path(active.path("A01")).unlink()
    assert routes.version("A01", served=True) == NEW
    with pytest.raises(CallError, match="no version is active"):
        routes.version("A01")  # its deployment left the tree meanwhile
    with pytest.raises(CallError, match="no version is active"):
        routes.version("A01", served=True)


def test_a_package_is_routed_to_the_first_pid_that_has_it_active(active, monkeypatch):
    routes = Routes(active)
    for pid, ref in (("A10", NEW), ("A2", NEW), ("B01", OLD), ("C01", NEW)):
        switch(active, ref, pid)
    Path(active.path("A0")).write_bytes(b"{")  # damaged, so nobody's
    asked = DetectionRequest("", b"image", package=NEW)
    served = {"A00", "C01"}
    assert routes.route(asked, served) == (dataclasses.replace(asked, pid="A10"), NEW)
    switch(active, OLD, "A10")
    switch(active, OLD, "A2")
    assert routes.route(asked, served)[0].pid == "C01"
    Path(active.path("C01")).unlink()
    assert routes.route(asked, served)[0].pid == "C01", "a deployment serves it, so it is restored"
    with pytest.raises(
        CallError, match=r"not active for any PID; of screw-check there is active: 1\.0\.0 on A10, A2"
    ) as no:
        routes.route(asked)
    assert no.value.details["active"] == {"1.0.0": ["A10", "A2", "B01"]}
    for number in range(20):
        switch(active, OLD, f"D{number:02}")
    with pytest.raises(CallError, match=r"for PID B01; .* 1\.0\.0 on A10, A2, B01, D00, .*, D04 and 15 more"):
        routes.route(dataclasses.replace(asked, pid="B01"))

    def stat(path, real=os.stat, **how):
        if str(path).endswith("B01.json"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, **how)

    monkeypatch.setattr(os, "stat", stat)
    switch(active, NEW, "D19")
    assert routes.route(asked)[0].pid == "D19", "what cannot be read hides no other"
    switch(active, OLD, "D19")
    with pytest.raises(StoreError, match="Permission denied"):
        routes.route(asked)


@pytest.mark.parametrize("pid", ["", "../A01", "A/1", ".", "a" * 65, "A01\n"])
def test_what_cannot_be_a_pid_never_touches_the_disk(active, pid):
    with pytest.raises(CallError) as caught:
        Routes(active).version(pid)
    assert caught.value.code is Code.invalid_pid


def test_a_disk_that_cannot_be_read_is_said(active, monkeypatch):
    def stat(path, **_):
        raise PermissionError(13, "Permission denied", path)

    routes = Routes(active)
    monkeypatch.setattr(os, "stat", stat)
    with pytest.raises(StoreError, match="Permission denied"):
        routes.version("A01")
