"""What viewers of one language and one access see: each fragment rendered once for all of them, and when it changed."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from controller.page.fragments import EVERYWHERE, Fragment
from controller.page.rendering import rendered
from controller.station.port import Access


class Look:
    """The fragments in one language for one access. `turn` counts what was published."""

    def __init__(self, language: str, access: Access) -> None:
        self.language = language
        self.access = access
        self.turn = 0
        self._shown: dict[str, tuple[Fragment, str]] = {}
        self._changed: dict[str, int] = {}
        self._messages: dict[tuple[str, int], str] = {}

    def take(self, fragments: Mapping[str, Fragment], turn: int) -> None:
        """Render what has changed since the last turn."""
        for key, fragment in fragments.items():
            before = self._shown.get(key)
            if before is not None and before[0].row == fragment.row:
                self._shown[key] = (fragment, before[1])
                continue
            html = self._render(fragment)
            if before is None or before[1] != html:
                self._changed[key] = turn
            self._shown[key] = (fragment, html)
        for key in self._shown.keys() - fragments.keys():
            del self._shown[key], self._changed[key]
        self._shown = {key: self._shown[key] for key in fragments}
        self._messages.clear()
        self.turn = turn

    def html(self, key: str) -> Markup:
        """Return a fragment as it stands on a page; nothing where there is none."""
        if key not in self._shown:
            return Markup("")
        fragment, html = self._shown[key]
        held = (each for _, (inner, each) in self._shown.items() if inner.inside == fragment.key)
        return Markup(html.replace(_HELD, "".join(held), 1))  # noqa: S704 - by templates that escape

    def message(self, scope: str, after: int) -> str:
        """Return the HTML that brings a page from a turn to the present one; empty where nothing changed there."""
        found = self._messages.get((scope, after))
        if found is None:
            found = self._messages[scope, after] = "".join(self._changes(scope, after))
        return found

    def _changes(self, scope: str, after: int) -> list[str]:
        late = {key for key, turn in self._changed.items() if turn > after}
        return [
            str(self.html(key)).replace(" id=", ' hx-swap-oob="morph" id=', 1)
            for key, (fragment, _) in self._shown.items()
            if key in late
            if key == scope or (fragment.inside not in late and fragment.scope in {scope, EVERYWHERE})
        ]

    def _render(self, fragment: Fragment) -> str:
        return rendered(
            fragment.template, self.language, key=fragment.key, row=fragment.row, held=Markup(_HELD),  # noqa: S704 - a constant

            may_act=self.access >= Access.operator,
        )  # fmt: skip


_HELD = "<!--held-->"
"""Where a container has what it holds."""
