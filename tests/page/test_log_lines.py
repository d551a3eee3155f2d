"""Log lines as they are read: the controller's, the SDK's, and text that is none; nothing in them is trusted."""

from __future__ import annotations

import json
import logging

from controller.json_log import JsonFormatter
from controller.page.log_lines import LogLine, log_lines


def test_a_line_of_the_controller_is_taken_apart() -> None:
    about = logging.LogRecord("controller.x", logging.WARNING, "", 1, "A01 is slow", None, None)
    about.pid, about.revision = "A01", "c" * 40
    text = JsonFormatter().format(about)

    [line] = log_lines(text + "\n")

    assert line.time == json.loads(text)["time"]
    assert (line.level, line.weight, line.message) == ("warning", "warning", "A01 is slow")
    assert line.fields == (("logger", "controller.x"), ("pid", "A01"), ("revision", "c" * 12))


def test_a_line_of_the_sdk_has_a_number_for_its_time() -> None:
    [line] = log_lines('{"level": "error", "timestamp_ms": 1700000000500, "message": "dark", "n": 3, "of": {"a": [1]}}')

    assert line == LogLine("dark", 1700000000.5, "error", "error", (("n", "3"), ("of", '{"a":[1]}')))


def test_lines_of_a_process_begin_with_when_they_came() -> None:
    at = "2026-11-30T15:36:43.799Z"

    assert log_lines(f'{at} {{"message": "dark", "timestamp_ms": 1}}\n{at}   a {{b\n{at}\n') == (
        LogLine("dark", at), LogLine("  a {b", at), LogLine(at),
    )  # fmt: skip


def test_a_traceback_keeps_its_lines() -> None:
    [line] = log_lines(json.dumps({"message": "it raised", "exception": "Traceback\n  File"}))

    assert line.more == "Traceback\n  File"


def test_what_is_no_log_record_stands_as_it_is() -> None:
    texts = [
        "  File 'main.py', line 4",
        "",
        "{half",
        "[1, 2]",
        "{}",
        '{"no": "message"}',
        '{"msg": null}',
        "\u2028x",
    ]

    assert log_lines("\n".join(texts) + "\n") == tuple(map(LogLine, texts))
    assert log_lines("a\r\nb") == (LogLine("a"), LogLine("b"))


def test_values_of_any_kind_are_text() -> None:
    [line] = log_lines('{"message": ["<b>", 1], "level": 30, "time": true, "timestamp": 1e300, "x": false}')

    assert (line.message, line.level, line.time) == ('["<b>",1]', "30", 1e300)
    assert line.fields == (("time", "true"), ("x", "false"))
