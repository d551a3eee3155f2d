"""`pvctl schema`: the JSON Schema of the desired state."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.output import write
from controller.cli.parser import Parser
from controller.cli.settings import Settings


def add_arguments(parser: Parser) -> None:
    """This command takes only the global options."""


def run(arguments: Namespace, settings: Settings) -> int:
    """Print the JSON Schema of a desired document, for editors and reviewers.

    Example:
      pvctl schema > docs/schema/desired.schema.json
    """
    from controller.sources.schema import json_schema

    write(json_schema(), "json")
    return 0
