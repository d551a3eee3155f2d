"""Who looks: their language, their theme and how they want the tiles, from the request; and pages made for them."""

from __future__ import annotations

from typing import NamedTuple, Self

from starlette.requests import Request

from controller.page.rendering import rendered
from controller.page.sessions import CSRF_HEADER, LOGIN, LOGOUT, RENEW, Session, session_of
from controller.page.texts import chosen
from controller.station.port import Access, AccessDenied, Caller

LANGUAGE_COOKIE = "pv_language"
_THEMES = ("light", "dark")
_DENSITIES = ("large", "wall")
_FILTERS = ("all", "trouble", "moving")
_ORDERS = ("fixed", "trouble")


class Viewer(NamedTuple):
    """Somebody who looks at the page. The session is None only where somebody has still to log in."""

    session: Session | None
    language: str
    theme: str = ""
    density: str = ""
    filter: str = "all"
    order: str = "fixed"
    path: str = "/"

    @classmethod
    def of(cls, request: Request, session: Session | None) -> Self:
        """Return the viewer of a request; what their cookies say counts only where it is something known."""

        def cookie(name: str, known: tuple[str, ...], otherwise: str) -> str:
            value = request.cookies.get(name, "")
            return value if value in known else otherwise

        return cls(
            session, language_of(request), cookie("pv_theme", _THEMES, ""),
            cookie("pv_density", _DENSITIES, ""), cookie("pv_filter", _FILTERS, "all"),
            cookie("pv_order", _ORDERS, "fixed"), request.url.path,
        )  # fmt: skip

    @property
    def caller(self) -> Caller:
        """Who asks the station."""
        return self.session.caller if self.session else Caller("", Access.viewer)

    @property
    def access(self) -> Access:
        return self.caller.access

    @property
    def may_act(self) -> bool:
        """Whether operator's verbs are theirs."""
        return self.session is not None and self.access >= Access.operator

    def page(self, template: str, scope: str, **values: object) -> str:
        """Return a whole page for this viewer; `scope` names it for the navigation and for the feed."""
        return rendered(
            template, self.language, viewer=self, scope=scope, may_act=self.may_act, login=LOGIN, logout=LOGOUT,
            renew=RENEW, csrf_header=CSRF_HEADER, **values,
        )  # fmt: skip

    def part(self, template: str, **values: object) -> str:
        """Return a part of a page for this viewer."""
        return rendered(template, self.language, viewer=self, may_act=self.may_act, **values)


def language_of(request: Request) -> str:
    """Return the language of whoever asks: what they chose, else what their browser takes."""
    wanted = request.query_params.get("lang") or request.cookies.get(LANGUAGE_COOKIE)
    return chosen(wanted, request.headers.get("accept-language", ""))


def viewer_of(request: Request) -> Viewer:
    """Return who looks. Raises AccessDenied: nobody has logged in, which the gateway does not let through."""
    session = session_of(request)
    if session is None:
        raise AccessDenied("nobody is logged in", next_step="log in")
    return Viewer.of(request, session)
