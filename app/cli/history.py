"""What a history holds: `cloche stats` and `cloche export`."""

import json
import sys
import time
from pathlib import Path
from typing import Literal

import click

from app.cli.words import existing_file, json_option, since_option, told


@click.command()
@click.argument("file", type=existing_file)
@since_option
@json_option
def stats(file: Path, since: float | None, *, as_json: bool) -> None:
    """The figures of a history."""
    from app.models.history.reader import Reader
    from app.models.report import as_text
    from app.models.report import stats as figures

    def printed() -> int:
        reader = Reader(file)
        try:
            found = figures(reader, None if since is None else (reader.alive() or time.time()) - since)
        finally:
            reader.close()
        click.echo(json.dumps(found, indent=2) if as_json else as_text(found))
        return 0

    sys.exit(told(printed))


@click.command()
@click.argument("file", type=existing_file)
@click.option("--where", default="", metavar="SEARCH", help="Only tasks that this search finds, as in the window.")
@since_option
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; standard output if left out.",
)
def export(file: Path, where: str, since: float | None, form: Literal["csv", "jsonl"], output: Path | None) -> None:
    """Write tasks of a history as CSV or JSON lines."""
    from app.models.export import export as write
    from app.models.export import export_file
    from app.models.history.reader import Reader
    from app.models.search import parse

    def written() -> int:
        search = parse(where)
        reader = Reader(file)
        try:
            start = None if since is None else (reader.alive() or time.time()) - since
            if output is None:
                write(reader, sys.stdout, format=form, where=search, since=start)
            else:
                count = export_file(reader, output, format=form, where=search, since=start)
                click.echo(f"{count:,} tasks written to {output}", err=True)
        finally:
            reader.close()
        return 0

    sys.exit(told(written))
