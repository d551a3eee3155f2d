"""The slot of a process: its name, and what stands of it in records."""

from __future__ import annotations

from controller.model.objects import ProcessKey

LINE = ProcessKey("screws", "screw-check", "1.1.0", 0)
SHADOW = ProcessKey("screws", "screw-check", "1.1.0", 0, shadow=True)


def test_a_shadow_is_another_process_than_that_of_the_line_and_called_otherwise() -> None:
    assert LINE != SHADOW
    assert str(LINE) == "screws/screw-check@1.1.0-0"
    assert str(SHADOW) == "screws/screw-check@1.1.0-shadow-0"
    assert sorted([SHADOW, LINE]) == [LINE, SHADOW]


def test_an_earlier_release_reads_the_record_of_every_process_but_a_shadow() -> None:
    assert LINE.to_document() == {"deployment": "screws", "name": "screw-check", "version": "1.1.0", "replica": 0}
    assert SHADOW.to_document() == {**LINE.to_document(), "shadow": True}
    assert [ProcessKey.from_document(each.to_document()) for each in (LINE, SHADOW)] == [LINE, SHADOW]
