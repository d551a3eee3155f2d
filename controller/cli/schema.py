"""`pvctl schema`: the JSON Schema of the desired state."""

from __future__ import annotations

import json

import click

from controller.cli.settings import global_options


@click.command("schema")
@global_options()
def command() -> int:
    """Print the JSON Schema of a desired document, for editors and reviewers.

    \b
    Example:
      pvctl schema > docs/schema/desired.schema.json
    """
    from controller.sources.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0
