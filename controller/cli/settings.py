"""The global options: accepted before and after the command's name, and as PVCTL_* in the environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

_DEFAULTS = {"desired": "desired", "store": "runtime_store", "output": "table"}
_HELP = {
    "desired": "Folder of the desired state [default: desired].",
    "store": "Folder of the runtime store [default: runtime_store].",
    "output": "Form of what goes to stdout [default: table].",
    "log_level": "How much goes to the log [default: warning; of the daemon: info].",
}


class Settings:
    """The global options of one command line; the one after the command's name wins."""

    def __init__(self, station_at: Callable[[Settings], Any]) -> None:
        self._given: dict[str, str] = {}
        self._station_at = station_at

    def give(self, **options: str | None) -> None:
        """Take the options that were given at one place."""
        self._given.update({name: value for name, value in options.items() if value is not None})

    def _value(self, name: str) -> str:
        return self._given.get(name, _DEFAULTS[name])

    @property
    def desired(self) -> Path:
        return Path(self._value("desired"))

    @property
    def store(self) -> Path:
        return Path(self._value("store")).absolute()

    @property
    def output(self) -> str:
        return self._value("output")

    def log_level(self, default: str) -> str:
        """How much goes to the log; `default` where nobody said."""
        return self._given.get("log_level", default)

    @property
    def station(self) -> Any:
        """The parts of the product for these options, built by the composition root."""
        return self._station_at(self)


def global_options(*, from_environment: bool = False) -> Callable[[Function], Any]:
    """Add the global options to a command; their values go to the context's `Settings`, not to the function."""

    def decorate(function: Function) -> Any:
        for name, flags in (
            ("log_level", ("--log-level",)),
            ("output", ("-o", "--output")),
            ("store", ("--store",)),
            ("desired", ("--desired",)),
        ):
            kinds: dict[str, Any] = {
                "output": click.Choice(["table", "json", "yaml"]),
                "log_level": click.Choice(["debug", "info", "warning", "error"]),
                "store": click.Path(file_okay=False),
                "desired": click.Path(),
            }
            function = click.option(
                *flags,
                name,
                type=kinds[name],
                envvar=f"PVCTL_{name.upper()}" if from_environment else None,
                expose_value=False,
                callback=_give,
                help=_HELP[name],
                metavar="DIR" if name in {"desired", "store"} else None,
            )(function)
        return function

    return decorate


def _give(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    settings = ctx.find_object(Settings)
    if value == "":  # an unset shell variable; Path("") would be the present folder
        raise click.BadParameter("the path is empty", ctx, parameter)
    if settings is not None and parameter.name is not None:
        settings.give(**{parameter.name: value})
