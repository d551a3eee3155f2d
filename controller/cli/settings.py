"""The global options: accepted before and after the command's name, and as PVCTL_* in the environment."""

from __future__ import annotations

from argparse import SUPPRESS

from controller.cli.parameters import folder, path, worker
from controller.cli.parser import Parser, WrongUsage

TYPE_CHECKING = False  # as type checkers know it: importing typing would cost every command 2 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import TypedDict

    from controller.cli.product import Product
    from controller.station.port import Command, Report, Result

    class Options(TypedDict, total=False):
        """The global options that were given."""

        desired: Path
        store: Path
        output: str
        log_level: str
        actor: str


_FLAGS = {"desired": "--desired", "store": "--store", "output": "--output", "log_level": "--log-level", "actor": "--as"}
"""Each option's name, as `PVCTL_<NAME>` has it, and its flag."""


class Settings:
    """The global options of one command line, and the parts of the product that the composition root builds for them.

    `options` holds what was given, the winner where it was given twice. `wide`: tables in full.
    """

    def __init__(self, options: Options, product_for: Callable[[Settings], Product]) -> None:
        self._options = options
        form = options.get("output", "table")
        self.wide = form == "wide"
        self.output: str = "table" if self.wide else form
        self.worker: str = options.get("actor", "")
        self._log_level: str | None = options.get("log_level")
        self._product_for = product_for

    @property
    def desired(self) -> Path:
        """The folder of the desired state."""
        from pathlib import Path

        return self._options.get("desired", Path("desired"))

    @property
    def desired_given(self) -> bool:
        """Whether somebody named that folder, by option or environment."""
        return "desired" in self._options

    @property
    def store(self) -> Path:
        """The folder of the store, absolute."""
        from pathlib import Path

        return self._options.get("store", Path("runtime_store")).absolute()

    def log_level(self, default: str) -> str:
        """How much goes to the log; `default` where nobody said."""
        return self._log_level or default

    @property
    def product(self) -> Product:
        """The parts of the product for these options."""
        return self._product_for(self)

    def execute(self, command: Command[Result], report: Report | None = None) -> Result:
        """Have the station carry out a command, and return its result. Raises ControllerError."""
        from controller.station.port import Access, Caller, finish, silent

        product, viewer = self.product, Access.viewer
        # Who only looks is not put on record; and looking up one's own name may ask a directory over the network.
        looks = command.operation.access is viewer and not command.operation.recordings
        caller = Caller("", viewer) if looks else product.caller
        return finish(product.station().execute(command, caller, report or silent))


FORMS = ("table", "wide", "json", "yaml")
EVERY_FORM = (*FORMS, "junit", "html")
"""What some command may print."""
FORMS_HELP = "Form of what goes to stdout: table, wide (with every column), json, yaml [default: table]."


def add_global_options(parser: Parser, forms: Sequence[str] = FORMS, forms_help: str = FORMS_HELP) -> None:
    """Add the global options; one that is not given leaves no trace in the result. `forms`: what -o may say."""
    group = parser.add_argument_group("global options")
    for flags, options in (
        (("--desired",), {"metavar": "DIR", "type": path, "help": "Folder of the desired state [default: desired; "
                          "where a daemon runs, its own]."}),
        (("--store",), {"metavar": "DIR", "type": folder,
                        "help": "Folder of the runtime store [default: runtime_store]."}),
        (("-o", "--output"), {"metavar": "FORM", "choices": forms, "help": forms_help}),
        (("--as",), {"metavar": "NAME", "dest": "actor", "type": worker,
                     "help": "For whom you do this, for the audit: the worker at a kiosk, say."}),
        (("--log-level",), {"metavar": "LEVEL", "choices": ("debug", "info", "warning", "error"),
                            "help": "How much goes to the log: debug, info, warning, error [default: warning; of the "
                            "daemon: info]."}),
    ):  # fmt: skip
        group.add_argument(*flags, default=SUPPRESS, **options)


def global_part(options: Mapping[str, object]) -> Options:
    """Return those of the parsed options that are global."""
    found: Options = {name: options[name] for name in _FLAGS if name in options}  # type: ignore[assignment]
    return found


def from_environment(environment: Mapping[str, str]) -> Options:
    """Return the global options that PVCTL_* variables give; an empty one gives nothing. Raises WrongUsage."""
    found: Options = {}
    for name, flag in _FLAGS.items():
        variable = f"PVCTL_{name.upper()}"
        if text := environment.get(variable):
            parser = Parser(prog="pvctl", add_help=False)
            add_global_options(parser)
            try:
                found |= global_part(vars(parser.parse_args([f"{flag}={text}"])))
            except WrongUsage as error:
                raise WrongUsage(f"{variable} in the environment: {error.message}") from None
    return found
