"""`pvctl schema`: the JSON Schema of the desired state, or the OpenAPI document of the API."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.output import write
from controller.cli.parser import Parser
from controller.cli.settings import Settings


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("--openapi", action="store_true", help="The OpenAPI document of the daemon's API instead.")


def run(arguments: Namespace, settings: Settings) -> int:
    """Print the JSON Schema of a desired document, for editors and reviewers.

    With --openapi the contract of the HTTP API, for clients that are generated from it.

    Examples:
      pvctl schema > docs/schema/desired.schema.json
      pvctl schema --openapi > docs/openapi.json
    """
    if arguments.openapi:
        write(settings.product.openapi(), "json")
        return 0
    from controller.sources.schema import json_schema

    write(json_schema(), "json")
    return 0
