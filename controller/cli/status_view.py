"""The status document as sections of lines for a person: bad news first, ages, each metric against its limit.

Pure: the document, the width and the present go in; what is shown, and how much of it, is the caller's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from controller.cli.ages import age, epoch_of, span
from controller.cli.screen import Column, Line, glyph, table, wrapped
from controller.host.terminal import printable
from controller.model.names import process_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from controller.cli.screen import Span
    from controller.model.status_document import (
        DeploymentRow,
        EvidenceRow,
        PackageRow,
        PidRow,
        ProcessRow,
        StatusDocument,
    )

_PHASES = {"Degraded": "bad", "Progressing": "warn", "Paused": "warn", "Suspended": "warn", "Healthy": "good"}
"""The phases and their colours, the one that needs somebody first."""
_STALE = 30.0
"""Seconds after which a daemon that makes a pass every ten is said to be behind."""
_BAR = 10
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_SINCE = re.compile(rf"since ({_MOMENT.pattern})")
_EVERYTHING = 100_000
_LAST_WORDS = 3
_PICTURES = 3
_SHARES = frozenset({
    "errorRate", "timeoutRate", "ngRate", "cpu", "escapes", "overkill", "newlyOK", "newlyNG", "replayErrorRate",
    "replayTimeoutRate",
})  # fmt: skip


class Section:
    """A part of the status: a title, and items of one or more lines each; `noun` says what one of them is."""

    def __init__(self, noun: str, items: Iterable[list[Line]], title: Iterable[Line] = ()) -> None:
        self.noun = noun
        self.title = list(title)
        self.items = list(items)

    @property
    def lines(self) -> list[Line]:
        return [*self.title, *(line for item in self.items for line in item)]


class View:
    """One document as it is shown at `now` (seconds since 1970) on a screen of `width` columns; `wide`: everything."""

    def __init__(self, document: StatusDocument, width: int, now: float, *, wide: bool = False) -> None:
        self._document = document
        self._width = _EVERYTHING if wide else width
        self._now = now
        self._wide = wide

    def sections(self) -> list[Section]:
        """Return what there is to show, in the order of its weight."""
        found = (
            self._head(), self._deployments(), self._waiting(), self._pids(), self._processes(), self._packages(),
            self._words(), self._patches(),
        )  # fmt: skip
        return [each for each in found if each.items]

    # What the document is about, and how old it is.

    def _head(self) -> Section:
        document, revision = self._document, self._document["revision"]
        state = "converged" if document["converged"] else "not converged"
        shown = revision["id"] if self._wide else _short(revision["id"])
        about = f"revision {shown} from {revision['source']}" if shown else "no revision is in force"
        lines = self._text(f"{about} ({state})", "" if document["converged"] else "warn")
        lines += self._daemon()
        for each in document.get("host", {}).get("conditions", ()):
            if each["status"] or self._wide:
                lines += self._text(f"host: {each['type']}: {each['message']}", "bad" if each["status"] else "")
        first, *others = [self._text(f"refused: {each}", "bad") for each in revision["errors"]] or [[]]
        return Section("refusal", [[*lines, *first], *others])

    def _daemon(self) -> list[Line]:
        daemon = self._document.get("daemon")
        if daemon is None:
            return []
        old, stale = span(daemon["age_s"]), daemon["age_s"] > _STALE
        if not daemon["alive"]:
            return self._text(f"no daemon runs; the rest is as of {old} ago, processes as of now", "warn")
        up = f"daemon: process {daemon['os_pid']}, up {age(daemon['started_at'], self._now)}"
        up = up if daemon["os_pid"] else "a daemon holds the store"  # and who, is written nowhere any more
        up += f", listens at {daemon['listen']}" if daemon.get("listen") else ""
        return self._text(f"{up}; the rest is as of {old} ago" if stale else up, "warn" if stale else "")

    # Deployments and their rollouts.

    def _deployments(self) -> Section:
        columns = [
            Column("DEPLOYMENT"), Column("PHASE"), Column("PACKAGE", 2), Column("VERSION"), Column("STABLE", 1),
            Column("WEIGHT", 1), *((Column("PROVEN"), Column("GENERATION"), Column("MESSAGE")) if self._wide else ()),
        ]  # fmt: skip
        ranks = list(_PHASES)
        rows = sorted(
            self._document["deployments"],
            key=lambda each: ranks.index(each["phase"]) if each["phase"] in _PHASES else len(ranks),
        )
        return self._table("deployment", columns, rows, self._deployment, self._about)

    def _deployment(self, row: DeploymentRow) -> list[Span]:
        cells = [
            _cell(row["name"]), _cell(row["phase"], _PHASES.get(row["phase"], "")), _cell(row["package"]),
            _cell(row["target_version"]), _cell(row["stable_version"]), _cell(f"{row['actual_weight']}%"),
        ]  # fmt: skip
        if self._wide:
            proven = "yes" if row.get("proven") else "no"
            cells += [_cell(proven), _cell(row.get("observed_generation")), _cell(row["message"])]
        return cells

    def _about(self, row: DeploymentRow) -> list[Line]:
        """Return what stands below a deployment that somebody has to look at, or that is on its way."""
        if self._wide:
            return self._evidence(row)
        message, left = self._aged(row["message"]), self._left(f"rollout/{row['name']}")
        if row["phase"] == "Healthy" and message.endswith("serves its PIDs"):
            return []
        lines = self._text(f"{message} ({left} left)" if left else message, indent="  ")
        return lines + self._evidence(row)

    def _aged(self, message: str) -> str:
        """Return a message with ages in the place of timestamps."""
        message = _SINCE.sub(lambda found: f"since {age(found[1], self._now)} ago", message)
        return _MOMENT.sub(lambda found: f"{age(found[0], self._now)} ago", message)

    def _evidence(self, row: DeploymentRow) -> list[Line]:
        """Return each metric against its limit, while a version is judged or after it failed."""
        given = [each for each in row.get("evidence", ()) if isinstance(each, dict)]  # an older daemon has sentences
        rows = [each for each in given if each["limit"] is not None]
        if not rows or (row.get("current_step_index") is None and row["phase"] != "Degraded"):
            return []
        columns = [Column("METRIC"), Column("NOW"), Column("LIMIT"), Column("CALLS", 1), Column("TO ROLLBACK", 2)]
        cells = [_evidence_cells(each) for each in rows]
        below = [line for each in given for line in self._pictures(each)]
        return [[("  ", ""), *line] for line in table(columns, cells, self._width - 2)] + below

    def _pictures(self, row: EvidenceRow) -> list[Line]:
        """Return some of the pictures that a metric is about; `-o wide` has all that there are."""
        pictures = row.get("pictures", [])
        shown = pictures if self._wide else pictures[:_PICTURES]
        arrow = glyph("→", "->")
        told = [
            f"{each['pid']} {each['recording'] or each['request_id']} {each['before']} {arrow} {each['after']}"
            for each in shown
        ]
        more = f", {glyph('…', '...')}" if len(shown) < len(pictures) else ""
        return self._text(f"{row['metric']}: {', '.join(told)}{more}", indent="    ") if told else []

    def _left(self, what: str) -> str:
        """Return the time until something that is waited for, where a clock tells."""
        for each in self._document["waiting"]:
            if each["what"] == what and (until := epoch_of(each["until"])) is not None:
                return span(until - self._now)
        return ""

    def _waiting(self) -> Section:
        """Return what is waited for, but for the rollouts, which say it themselves."""
        shown = set() if self._wide else {f"rollout/{each['name']}" for each in self._document["deployments"]}
        items = []
        for each in self._document["waiting"]:
            if each["what"] not in shown:
                until, text = epoch_of(each["until"]), each["until"] or "further notice"
                left = f"until {text}" if until is None else f"for {span(until - self._now)}"
                items.append(self._text(f"waiting: {each['what']} {left}: {each['reason']}"))
        items += (self._text(_unmanaged(path)) for path in self._document.get("unmanaged", ()))
        return Section("notice", items)

    # PIDs, processes, packages.

    def _pids(self) -> Section:
        columns = [
            Column("PID"), Column("DEPLOYMENT", 4), Column("VERSION"), Column("READY"), Column("SINCE", 3),
            Column("CALLS", 5), Column("ERRORS", 6), Column("P95", 7),
            *((Column("ACTIVE"), Column("ACTIVATED_AT"), Column("TIMEOUTS"), Column("NG")) if self._wide else ()),
        ]  # fmt: skip
        rows = sorted(self._document["pids"], key=_pid_rank)
        return self._table("PID", columns, rows, self._pid)

    def _pid(self, row: PidRow) -> list[Span]:
        active, health = row["active"], row.get("health")
        cells = [
            _cell(row["pid"]), _cell(row["deployment"]), _pid_version(row),
            _cell("yes", "") if row["ready"] else _cell("no", "bad"),
            _cell(age(active["activated_at"], self._now) if active else None),
            _cell(health["samples"] if health and health["samples"] else None),
            _cell(_percent(health["error_rate"]) if health else None),
            _cell(_milliseconds(health["latency_p95_ms"]) if health else None),
        ]  # fmt: skip
        if self._wide:
            name = f"{active['name']}@{active['version']}" if active else None
            cells += [_cell(name), _cell(active["activated_at"] if active else None)]
            cells += [_cell(_percent(health[key]) if health else None) for key in ("timeout_rate", "ng_rate")]
        return cells

    def _processes(self) -> Section:
        columns = [
            Column("PROCESS"), Column("STATE"), Column("OS_PID", 2), Column("MEMORY", 3), Column("CPU", 4),
            Column("RESTARTS", 1), Column("AGE", 1), *((Column("SDK"), Column("STARTED_AT")) if self._wide else ()),
        ]  # fmt: skip
        rows = sorted(self._document["processes"], key=lambda each: each["state"] in {"ready", "busy"})
        return self._table("process", columns, rows, self._process)

    def _process(self, row: ProcessRow) -> list[Span]:
        cpu, slot = row.get("cpu_percent"), (row["deployment"], row["name"], row["version"], row["replica"])
        cells = [
            _cell(process_name(*slot, shadow=row.get("shadow", False))),
            _cell(row["state"], "" if row["state"] in {"ready", "busy"} else "bad"), _cell(row["os_pid"]),
            _cell(_mebibytes(row["rss_bytes"])), _cell(None if cpu is None else f"{cpu:.0f}%"),
            _cell(row["restarts"]), _cell(age(row["started_at"], self._now)),
        ]  # fmt: skip
        return cells + ([_cell(row["sdk_version"]), _cell(row["started_at"])] if self._wide else [])

    def _packages(self) -> Section:
        columns = [Column("PACKAGE"), Column("VERSION"), Column("STATE")]
        columns += [Column("DIGEST"), Column("CODE"), Column("REASON")] if self._wide else []
        rows = sorted(self._document["packages"], key=lambda each: each["state"] != "invalid")
        return self._table("package", columns, rows, self._package, self._why_invalid)

    def _package(self, row: PackageRow) -> list[Span]:
        style = "bad" if row["state"] == "invalid" else ""
        cells = [_cell(row["name"]), _cell(row["version"]), _cell(row["state"], style)]
        return cells + ([_cell(row["digest"]), _cell(row["error_code"]), _cell(row["reason"])] if self._wide else [])

    def _why_invalid(self, row: PackageRow) -> list[Line]:
        code = f" ({row['error_code']})" if row["error_code"] else ""
        return [] if self._wide or not row["reason"] else self._text(f"{row['reason']}{code}", indent="  ")

    # What a failed version said last, and what would make git agree.

    def _words(self) -> Section:
        failed = [each for each in self._document["deployments"] if each.get("last_words")]
        cut = not self._wide and any(len(each["last_words"]) > _LAST_WORDS for each in failed)
        whose = ", ".join(str(each.get("last_words_of")) for each in failed)
        title = f"last errors and log lines of {whose}{' (more with -o wide)' if cut else ''}:"
        items = [self._text(line, indent="  ") for each in failed for line in self._last(each["last_words"])]
        return Section("log line", items, self._text(title, "head"))

    def _last(self, words: list[str]) -> list[str]:
        """Return the last words that a screen has; `-o wide` has all."""
        return words if self._wide else words[-_LAST_WORDS:]

    def _patches(self) -> Section:
        patches = [each["patch"] for each in self._document["deployments"] if each.get("patch")]
        items = [self._patch_line(line) for patch in patches for line in patch.splitlines()]
        title = "this patch would make git agree (also in status.patch.yaml):"
        return Section("patch line", items, self._text(title, "head"))

    def _patch_line(self, line: str) -> list[Line]:
        """Return a line as it can be copied: of a long comment each line is one."""
        if not line.startswith("# "):
            return [[(printable(line), "")]]
        return [[(f"# {part.strip()}", "")] for part in wrapped(line[2:], self._width - 2)]

    # Their form.

    def _table(
        self, noun: str, columns: Sequence[Column], rows: Sequence[_Row], cells: Callable[[_Row], list[Span]],
        below: Callable[[_Row], list[Line]] = lambda _: [],
    ) -> Section:  # fmt: skip
        if not rows:
            return Section(noun, ())
        title, *lines = table(columns, [cells(row) for row in rows], self._width)
        return Section(noun, [[line, *below(row)] for line, row in zip(lines, rows, strict=True)], [title])

    def _text(self, text: str, style: str = "", indent: str = "") -> list[Line]:
        return [[(line, style)] for line in wrapped(text, self._width, indent)]


if TYPE_CHECKING:
    from typing import TypeVar

    _Row = TypeVar("_Row")


def _cell(value: object, style: str = "") -> Span:
    return ("" if value is None else printable(str(value)), style)


def _short(revision: str) -> str:
    """Return the beginning of a commit's name, as git shows it; anything else as it is."""
    commit, dash, state = revision.partition("-")
    return f"{commit[:12]}{dash}{state}" if len(commit) == len("0123456789" * 4) else revision


def _pid_rank(row: PidRow) -> tuple[bool, bool]:
    """Order the PIDs: those that cannot answer, those that are not where they should be, the others as they come."""
    active = row["active"]
    return row["ready"], not (row["held"] or active is None or active["version"] != row["target_version"])


def _pid_version(row: PidRow) -> Span:
    """Return the version that answers a PID, and where it goes."""
    here = row["active"]["version"] if row["active"] else "none"
    target, marks = row["target_version"], [name for name in ("pinned", "held") if row[name]]
    text = here if target in {None, here} else f"{here} {glyph('→', '->')} {target}"
    return _cell(f"{text} ({', '.join(marks)})" if marks else text, "warn" if text != here else "")


def _evidence_cells(row: EvidenceRow) -> list[Span]:
    progress, needed = row["progress"], row.get("needed", 0)
    style = "bad" if progress >= 1 else "warn" if progress >= 0.5 else ""
    at_least = f"{glyph('≥', '>=')} " if row["metric"] == "samples" else ""
    calls = f"{row['samples']} of {needed}" if needed and row["metric"] != "samples" else str(row["samples"] or "")
    full, rest = glyph("█", "#"), glyph("░", ".")
    filled = round(progress * _BAR)
    bar = "" if row["metric"] == "samples" else f"{full * filled}{rest * (_BAR - filled)} {progress * 100:.0f} %"
    name = "calls in step" if row["metric"] == "samples" else row["metric"]
    return [
        _cell(name), _cell(_amount(row["metric"], row["value"]), style),
        _cell(at_least + _amount(row["metric"], row["limit"])), _cell(calls), _cell(bar, style),
    ]  # fmt: skip


def _amount(metric: str, value: float | None) -> str:
    """Return a metric's value in its own unit."""
    if value is None:
        return "unknown"
    match metric:
        case _ if metric in _SHARES:
            return _percent(value) or ""
        case "latencyP95":
            return _milliseconds(value * 1000) or ""
        case "memory" if value > 1024:
            return _mebibytes(round(value)) or ""
        case _:
            return f"{value:g}"


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share * 100:.3g} %"


def _milliseconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g} ms" if value < 1000 else f"{value / 1000:.3g} s"


def _mebibytes(size: int | None) -> str | None:
    return None if size is None else f"{size / 2**20:.0f} MiB"


def _unmanaged(path: str) -> str:
    """Say what a mapping or a folder is that no deployment has anything to do with."""
    if path.startswith("active/"):
        return f"note: no deployment has {path}; it is served as it stands, until somebody changes it"
    return f"warning: {path} was not made by this controller; it is left alone"
