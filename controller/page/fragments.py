"""The parts of the page that are replaced while it is looked at: which there are, and what each shows.

A fragment is rendered anew only when its row is another one. A container holds other fragments in order: as a whole it
is sent only when what it holds has changed, else each of them alone.
"""

from __future__ import annotations

from typing import NamedTuple

from controller.page.deployments import cards
from controller.page.packages import packages, quarantine
from controller.page.snapshot import Snapshot
from controller.page.tiles import banner, tiles

EVERYWHERE = "*"
"""The scope of what stands on every page."""
PID = "pid-"
"""How the scope of a PID's page begins, as the key of its tile does."""


class Fragment(NamedTuple):
    """`key` is the id of its element; `scope` the page that it is on; `inside` the container that it stands in."""

    key: str
    template: str
    scope: str
    row: object
    inside: str = ""


def fragments(snapshot: Snapshot) -> dict[str, Fragment]:
    """Return every fragment by its key, containers after what they hold."""
    found = [Fragment("banner", "_banner.html", EVERYWHERE, banner(snapshot))]
    for holder, template, rows in (
        ("tiles", "_tile.html", {f"{PID}{each.pid}": each for each in tiles(snapshot)}),
        ("deployments", "_card.html", {f"deployment-{each.name}": each for each in cards(snapshot)}),
    ):
        found += (Fragment(key, template, "station", row, holder) for key, row in rows.items())
        found.append(Fragment(holder, f"_{holder}.html", "station", tuple(rows)))
    found += (Fragment(f"about-{pid}", "_about.html", f"{PID}{pid}", each) for pid, each in snapshot.about.items())
    document = snapshot.status
    if document is not None:
        found.append(Fragment("quarantine", "_quarantine.html", "packages", quarantine(snapshot)))
        found.append(Fragment("packages", "_packages.html", "packages", packages(snapshot)))
        found.append(Fragment("processes", "_processes.html", "packages", document["processes"]))
    return {each.key: each for each in found}
