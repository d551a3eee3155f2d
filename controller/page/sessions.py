"""Who looks at the page: what the gateway tells of whoever logged in, and how its forms prove that they are ours.

The gateway keeps everybody away from the page who has no session, but for `LOGIN` and what is below `STATIC`; it
exchanges tokens for sessions at `POST LOGIN`, ends them at `POST LOGOUT`, and refuses every other method than GET
and HEAD that comes from another site or without the session's `csrf` in `CSRF_HEADER`. The page draws.
"""

from __future__ import annotations

from typing import NamedTuple

from starlette.requests import HTTPConnection

from controller.station.port import Caller

LOGIN = "/page/login"
"""GET draws the form; its `token` is posted there, with `next`, a path to go to. Refused, it is drawn anew with
`?refused=` and a `Refusal`."""
LOGOUT = "/page/logout"
RENEW = "/page/session"
"""GET answers 204 and renews the session: a page that only listens to events asks for it now and then, hourly say."""
STATIC = "/static/"
CSRF_HEADER = "X-CSRF-Token"

REFUSALS = ("token", "often", "ended")
"""Why somebody is asked to log in: the token is not accepted; too many attempts; the session ended."""


class Session(NamedTuple):
    """Somebody who logged in: `caller` is who acts, `csrf` what each of the page's acts has to send along."""

    caller: Caller
    csrf: str


def session_of(request: HTTPConnection) -> Session | None:
    """Return the session of a request; None only at the form itself and for static files."""
    found: Session | None = request.scope.get("state", {}).get("session")
    return found
