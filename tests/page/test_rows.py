"""What is made of the station's answers: the state of the line, which tile is in trouble, how near a rollback is."""

from __future__ import annotations

import math
from typing import Any

import pytest

from controller.page.deployments import cards, spark, trend
from controller.page.rendering import rendered
from controller.page.snapshot import Sample, Snapshot
from controller.page.tiles import banner, tiles
from tests.page.made_up import MadeUpStation, deployment_row, evidence, moment, part, pid_row


def document(*deployments: dict[str, Any], pids: tuple[dict[str, Any], ...] = (), **changed: Any) -> Any:
    return {
        **MadeUpStation(4).document, "deployments": list(deployments), "pids": list(pids), "waiting": [], **changed
    }  # fmt: skip


def state(**changed: Any) -> str:
    return banner(Snapshot(document(**changed), as_of=1.0)).state


def test_the_banner_says_what_needs_somebody_most() -> None:
    degraded, moving = deployment_row("a", "2", "1", "Degraded"), deployment_row("b", "2", "1", "Progressing")
    back = degraded | {"quarantined": ["a@2"]}
    refused = {"id": "x" * 40, "source": "d", "valid": False, "errors": ["d.yaml:1: no"], "loaded_at": ""}
    unready = pid_row("A01", "a", "1", ready=False)

    assert state(converged=True) == "converged"
    assert banner(Snapshot(document(moving, deployment_row("c", "2", "1", "Paused")))).state == "moving"
    assert banner(Snapshot(document(deployment_row("c", "2", "1", "Paused")))).state == "paused"
    assert banner(Snapshot(document(moving, revision=refused))).state == "refused"
    assert banner(Snapshot(document(moving, pids=(unready,)))).state == "degraded"
    assert banner(Snapshot(document(moving, degraded, revision=refused))).state == "degraded"
    assert banner(Snapshot(document(moving, degraded, back))).deployments == ("a",)
    assert banner(Snapshot(document(back))).state == "rolled-back"
    assert banner(Snapshot(document(back), cut_since=7.0)).since == 7.0
    assert state(daemon={"alive": False, "os_pid": None, "started_at": None, "source": "", "age_s": 1.0}) == "cut"
    assert state(daemon={"alive": True, "os_pid": 1, "started_at": None, "source": "", "age_s": 31.0}) == "cut"
    assert banner(Snapshot()).state == "waiting"


@pytest.mark.parametrize(
    ("row", "last", "trouble", "verdict"),
    [
        (pid_row("A01", "a", "1"), part("A01", "OK", "1"), False, "OK"),
        (pid_row("A01", "a", "1"), part("A01", "NG", "1"), False, "NG"),
        (pid_row("A01", "a", "1"), part("A01", "ERROR", "1"), True, "ERROR"),
        (pid_row("A01", "a", "1"), part("A01", "of a newer station", "1"), True, "FAILED"),
        (pid_row("A01", "a", "1", ready=False), part("A01", "OK", "1"), True, "OK"),
        (pid_row("A01", "a", "1", active=None), None, True, "none"),
        (pid_row("A01", "a", "1"), None, False, "none"),
    ],
)
def test_a_tile_is_in_trouble_when_somebody_has_to_look(row: Any, last: Any, trouble: bool, verdict: str) -> None:
    [tile] = tiles(Snapshot(document(pids=(row,)), {"A01": last} if last else {}))

    assert (tile.trouble, tile.verdict) == (trouble, verdict)


def test_a_tile_says_where_its_pid_goes_and_who_judged_its_part() -> None:
    rows = (pid_row("A01", "a", "1", "2"), pid_row("A02", "a", "1", "2", held=True), pid_row("A03", "a", "2"))
    found = tiles(
        Snapshot(
            document(deployment_row("a", "2", "1", "Progressing", current_step_index=0), pids=rows),
            {"A03": part("A03", "OK", "1")},
        )
    )

    assert [each.goes_to for each in found] == ["2", "", ""]
    assert [each.marks for each in found] == [(), ("held",), ("canary",)]
    assert [each.moving for each in found] == [True, False, True]
    assert found[2].judged_by == "1"


def test_a_picture_without_a_size_is_none_and_defects_are_bounded() -> None:
    defect = {"x": 1, "y": 1, "width": 1, "height": 1, "label": "l" * 99, "score": None}
    many = part("A01", "NG", "1", defects=[defect] * 99)
    flat = part("A01", "NG", "1", picture={"width": 0, "height": 9, "etag": ""})
    shown, none = (
        tiles(Snapshot(document(pids=(pid_row("A01", "a", "1"),)), {"A01": each}))[0] for each in (many, flat)
    )

    assert shown.picture is not None
    assert len(shown.picture.defects) == 20
    assert len(shown.picture.defects[0].label) == 24
    assert none.picture is None


def test_the_meter_is_logarithmic_in_the_odds_with_the_threshold_at_its_end() -> None:
    rows = [evidence("errorRate", 0.1, 0.05, 60, 0.5), evidence("timeoutRate", 0, 0.01, 60, 1.0)]
    heartbeat = evidence("heartbeat", 1, 0, 0, 1.0) | {"message": "heartbeat lost once on A01"}
    row = deployment_row("a", "2", "1", "Progressing", current_step_index=0, evidence=[*rows, heartbeat])
    [card] = cards(Snapshot(document(row)))

    assert [(each.metric, each.level, each.place) for each in card.meters] == [
        ("errorRate", "near", 500), ("timeoutRate", "over", 1000),
    ]  # fmt: skip
    assert card.meters[0].odds == 200
    assert card.meters[0].ticks == ((10, round(1000 * math.log(10, 200))), (100, round(1000 * math.log(100, 200))))
    assert card.facts == ("heartbeat lost once on A01",)


def test_a_replay_is_metered_as_a_count_and_a_shadow_by_its_own_odds() -> None:
    replay = [evidence("newlyOK", 0.01, 0.02, 100, 0.5) | {"odds": 0}]
    shadow = [evidence("newlyOK", 0.01, 0.002, 100, 0.5) | {"odds": 400}, evidence("errorRate", 0, 0.05, 100, 0.0)]
    [counted], [tested, plain] = (
        cards(Snapshot(document(deployment_row("a", "2", "1", "Progressing", current_step_index=0, evidence=rows))))[
            0
        ].meters
        for rows in (replay, shadow)
    )

    assert (counted.odds, counted.ticks, counted.place, counted.counts) == (0, (), 500, "pictures")
    assert tested.odds == 400
    assert tested.ticks == ((10, round(1000 * math.log(10, 400))), (100, round(1000 * math.log(100, 400))))
    assert (plain.odds, plain.counts) == (200, "calls"), "a station that does not tell the odds yet"


def test_a_card_names_the_pictures_that_differ_and_shows_the_steps_with_their_pids() -> None:
    picture = {"pid": "A02", "request_id": "q1", "recording": "r1", "before": "NG", "after": "OK", "at": moment(5)}
    found = evidence("newlyOK", 0.03, 0.002, 100, 1.0) | {"odds": 0, "pictures": [picture]}
    row = deployment_row("a", "2", "1", "Degraded", evidence=[found])
    step: Any = {"index": 0, "set_weight": None, "pause_s": None, "weight": 0, "pids": ["A02"], "state": "done"}
    terms = {"max_newly_ok": 0.002, "max_newly_ng": 0.02, "iou": None}
    details: Any = {"a": {"steps": [
        step | {"kind": "replay", "pictures": {**terms, "last": 500}},
        step | {"kind": "shadow", "pictures": {**terms, "weight": 50, "duration_s": 900.0}},
    ]}}  # fmt: skip
    snapshot = Snapshot(document(row), details=details)

    [card] = cards(snapshot)
    shown = rendered("_card.html", "en", row=card, key="card-a")

    assert [(each.pid, each.recording, each.before, each.after) for each in card.pictures] == [
        ("A02", "r1", "NG", "OK")
    ]
    assert [(each.kind, each.last, each.weight, each.duration_s, each.pids) for each in card.steps] == [
        ("replay", 500, 0, 0.0, ()), ("shadow", 0, 50, 900.0, ("A02",)),
    ]  # fmt: skip
    for text in (
        "replay of 500",
        "shadow 50 % 15",
        "Pictures that differ (1)",
        "NG → OK",
        "<code>r1</code>",
        "by count",
    ):
        assert text in shown


def test_a_trend_is_against_a_minute_ago() -> None:
    rising = [Sample(0, 0.1), Sample(30, 0.1), Sample(90, 0.3)]

    assert trend(rising, 95) == "rising"
    assert trend(rising, 200) == "steady"
    assert trend([Sample(0, 0.5), Sample(70, 0.2)], 75) == "falling"
    assert trend([], 5) == "steady"
    assert spark(rising) == "0,28 53,28 160,22"
    assert spark(rising[:1]) == ""


def test_cards_come_with_what_needs_somebody_first_and_offer_what_can_be_done() -> None:
    healthy = deployment_row("calm", "1", "1")
    moving = deployment_row("moves", "2", "1", "Paused", current_step_index=1)
    failed = deployment_row("failed", "2", "1", "Degraded", quarantined=["failed@2"])
    armed = deployment_row("armed", "2", "2", rollback_until=moment(-60), rollback_to="1")
    pids = tuple(pid_row(f"{name}-1", name, "1") for name in ("calm", "moves", "failed", "armed"))
    details: Any = {"moves": {"rollout": {"paused_by": "ann"}}}
    plain = {each.name: each for each in cards(Snapshot(document(healthy, moving, failed, armed, pids=pids)))}
    by_hand = {each.name: each for each in cards(Snapshot(document(moving, pids=pids), details=details))}

    assert list(plain) == ["failed", "moves", "calm", "armed"]
    assert plain["calm"].acts == ("rollback", "restart")
    assert plain["moves"].acts == ("promote", "pause", "abort", "rollback", "restart")
    assert plain["failed"].acts == ("retry", "rollback", "restart")
    assert plain["armed"].acts == ("abort", "rollback", "restart")
    assert by_hand["moves"].acts == ("resume", "abort", "rollback", "restart")
