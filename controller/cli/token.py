"""`pvctl token`: who may ask the station over the network."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from controller.cli.output import columns, emit, say, show
from controller.cli.parser import Parser
from controller.cli.settings import Settings, add_global_options
from controller.station.commands.tokens import CreatedToken, CreateToken, ListTokens, RevokeToken


def add_arguments(parser: Parser) -> None:
    """Add the commands within this one."""
    acts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    made = acts.add_parser("create", help="Create a token, and print it, this once.", description=create.__doc__)
    made.add_argument("name", metavar="NAME", help="Its name: what the audit has of who comes with it.")
    made.add_argument("--role", required=True, choices=("viewer", "operator", "admin"),
                      help="viewer looks; operator also moves rollouts and PIDs and sends detections; admin also "
                      "installs, uninstalls, makes tokens and ends the station.")  # fmt: skip
    made.add_argument("--expires", metavar="DURATION", default="",
                      help="For how long it is accepted, such as 90d [default: until it is revoked].")  # fmt: skip
    made.add_argument("--recordings", action="store_true",
                      help="It also sees recorded calls, with their pictures; an admin's always does.")  # fmt: skip
    made.set_defaults(act=create)
    listed = acts.add_parser("list", help="List the tokens.", description=list_tokens.__doc__)
    listed.set_defaults(act=list_tokens)
    revoked = acts.add_parser("revoke", help="Revoke a token.", description=revoke.__doc__)
    revoked.add_argument("name", metavar="NAME", help="Its name.")
    revoked.set_defaults(act=revoke)
    for each in (made, listed, revoked):
        add_global_options(each)


def run(arguments: Namespace, settings: Settings) -> int:
    """Create, list and revoke the tokens that let callers in at `pvctl run --listen`; with and without a daemon.

    Examples:
      pvctl token create line-a-kiosk --role operator --expires 90d
      pvctl token list
      pvctl token revoke line-a-kiosk
    """
    return int(arguments.act(arguments, settings))


def create(arguments: Namespace, settings: Settings) -> int:
    """Create a token, and print its secret. It is shown this once: only its hash is kept. stdout has nothing else.

    Examples:
      pvctl token create grafana --role viewer
      TOKEN=$(pvctl token create ci --role operator --expires 90d)
      pvctl token create vision-team --role viewer --recordings --expires 90d
      pvctl token create ci --role admin --expires 90d -o json
    """
    made = settings.execute(CreateToken(arguments.name, arguments.role, arguments.expires, arguments.recordings))
    emit(settings, asdict(made), lambda: _print(made))
    return 0


def _print(made: CreatedToken) -> None:
    until = f"until {made.expires_at}" if made.expires_at else f"until `pvctl token revoke {made.name}`"
    sees = ", sees recorded calls" if made.recordings else ""
    say(f"{made.name}: {made.role}{sees}, accepted {until}; keep it now, it is not shown again:")
    show(made.token)


def list_tokens(_arguments: Namespace, settings: Settings) -> int:
    """Show the tokens that there are, without their secrets; expired ones until they are revoked.

    Example:
      pvctl token list
    """
    found = settings.execute(ListTokens())
    rows = [(each["name"], each["role"], "yes" if each.get("recordings") else "no", each["id"],
             _second(each["created_at"]), each["created_by"],
             "expired" if each["expired"] else _second(each["expires_at"]) or "never")
            for each in found.tokens]  # fmt: skip
    emit(
        settings, asdict(found),
        lambda: columns(["NAME", "ROLE", "RECORDINGS", "ID", "CREATED", "BY", "EXPIRES"], rows),
    )  # fmt: skip
    return 0


def _second(at: str | None) -> str:
    return f"{at[:19]}Z" if at else ""


def revoke(arguments: Namespace, settings: Settings) -> int:
    """Revoke a token. It is not accepted from this moment on, and what it had open ends: streams, sessions of the page.

    Example:
      pvctl token revoke line-a-kiosk
    """
    revoked = settings.execute(RevokeToken(arguments.name))
    emit(settings, asdict(revoked), lambda: show(f"{revoked.name}: not accepted any more"))
    return 0
