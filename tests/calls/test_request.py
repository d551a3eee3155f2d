"""Requests are well-formed or there are none, and every way to ask carries one value of arguments."""

from __future__ import annotations

import dataclasses
import math

import pytest
from pydantic import TypeAdapter

from controller.calls.request import DetectionRequest, SharedImages, call_data, phases_of
from controller.client.arguments import CallArguments
from controller.errors import CallError, Code
from controller.http.arguments import DetectionArguments
from controller.wire.messages import SharedImage

IMAGE = SharedImage("image", 4, 3)
IMAGES = SharedImages(IMAGE, SharedImage("guide", 4, 3), 7)


def asked(**given) -> DetectionRequest:
    return DetectionRequest("A01", b"image", arguments=CallArguments(**given))


@pytest.mark.parametrize("pid", ["", "../A01", "A/1", ".", "a" * 65, "A01\n", "a b"])
def test_what_cannot_be_a_pid_is_1001(pid):
    with pytest.raises(CallError) as caught:
        DetectionRequest(pid, b"image")
    assert (caught.value.code, "pvctl status" in str(caught.value)) == (Code.invalid_pid, True)


@pytest.mark.parametrize(
    "given",
    [
        {"step_index": 0}, {"step_index": "1"}, {"step_index": True}, {"step_desc": 5}, {"guide_info": "x"},
        {"params": [1]}, {"session": {"id": 5}}, {"session": {"ident": "x"}}, {"session": {"context": 5}},
        {"phase": "post"}, {"phase": "pre\n"}, {"phase": 5}, {"timeout": 0}, {"timeout": "1"}, {"timeout": math.nan},
        {"timeout": 1e9}, {"timeout": True}, {"color_space": "bgr"}, {"color_space": "GRAY"}, {"camera_id": 7},
        {"camera_id": "x" * 201}, {"timestamp_ms": -1}, {"timestamp_ms": 1.5}, {"timestamp_ms": 2**63},
    ],
)  # fmt: skip
def test_what_is_malformed_is_1003_and_says_what_to_pass(given):
    with pytest.raises(CallError) as caught:
        asked(**given)
    assert caught.value.code is Code.invalid_params
    assert f"{next(iter(given))} is not valid; pass " in str(caught.value)


def test_what_is_left_out_is_not_sent_and_reaches_the_algorithm_as_nothing():
    assert CallArguments().to_document() == {"step_index": 1, "step_desc": ""}
    data = call_data(asked(), "r-1", IMAGES, "0.3", "execute", {})
    assert (data["step_index"], data["step_desc"], data["guide_info"]) == (1, "", [])
    data = call_data(asked(), "r-1", IMAGES, "0.0", "pre", {})
    assert (data["pid"], data["user_params"], data["session"]) == ("A01", {}, {"id": "r-1", "context": {}})


def test_what_is_given_reaches_the_algorithm_as_it_is():
    given = asked(step_index=2, step_desc="left", guide_info=({"x": 1},), params={"y": 2}, session={"id": "s"})
    data = call_data(given, "r-1", IMAGES, "0.3", "execute", {})
    assert (data["step_index"], data["step_desc"], data["guide_info"]) == (2, "left", ({"x": 1},))
    data = call_data(given, "r-1", IMAGES, "0.0", "execute", {"y": 2})
    assert (data["user_params"], data["session"]) == ({"y": 2}, {"id": "s", "context": {}})


@pytest.mark.parametrize(
    ("generation", "phase", "phases"),
    [
        ("0.0", None, ("pre", "execute")), ("0.0", "pre", ("pre",)), ("0.0", "execute", ("execute",)),
        ("0.3", None, ("execute",)), ("0.3", "execute", ("execute",)), ("0.0", "info", ("info",)),
    ],
)  # fmt: skip
def test_phases(generation, phase, phases):
    assert phases_of(asked(phase=phase), generation) == phases


def test_only_what_an_algorithm_says_of_itself_needs_no_image():
    assert DetectionRequest("A01", None, arguments=CallArguments(phase="info")).is_info
    with pytest.raises(CallError, match="there is no image") as caught:
        DetectionRequest("A01", None)
    assert caught.value.code is Code.invalid_params


def test_the_camera_picture_is_cur_image_unless_the_deployment_wants_it_the_other_way_round():
    plain = call_data(asked(), "r-1", IMAGES, "0.3", "execute", {})
    assert (plain["cur_image_shm_id"], plain["guide_image_shm_id"]) == ("image", "guide")
    swapped = dataclasses.replace(IMAGES, swapped=True)
    data = call_data(asked(), "r-1", swapped, "0.3", "execute", {})
    assert (data["cur_image_shm_id"], data["guide_image_shm_id"]) == ("guide", "image")
    assert call_data(asked(), "r-1", swapped, "0.0", "execute", {})["shared_mem_id"] == "image"


def test_which_camera_and_when_reach_the_algorithm_with_the_image():
    data = call_data(asked(camera_id="top", timestamp_ms=5), "r-1", IMAGES, "0.3", "execute", {})
    assert data["cur_image_meta"] == {
        "width": 4, "height": 3, "timestamp_ms": 5, "camera_id": "top", "color_space": "RGB",
    }  # fmt: skip
    assert call_data(asked(), "r-1", IMAGES, "0.0", "pre", {})["image_meta"]["timestamp_ms"] == 7


def test_a_phase_that_a_generation_does_not_have():
    with pytest.raises(CallError, match=r"SDK 0\.3\.x\) has no phase 'pre'") as caught:
        phases_of(asked(phase="pre"), "0.3")
    assert caught.value.code is Code.invalid_params


def test_the_schema_of_a_body_is_made_of_the_very_arguments():
    properties = TypeAdapter(DetectionArguments).json_schema()["properties"]
    names = [field.name for field in dataclasses.fields(CallArguments)]
    assert list(properties) == [*names, "image_ref", "guide_image_ref"]
    assert properties["step_index"]["minimum"] == 1
    assert properties["timeout"]["anyOf"][0] == {
        "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1e9,
    }  # fmt: skip
    assert properties["phase"]["anyOf"][0] == {"type": "string", "pattern": "^(pre|execute|info)$"}
