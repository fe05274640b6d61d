"""What is done to messages that wait: `cloche purge` and the ways back from it, `move`, and files of messages."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from app.cli.act import act_on, act_options
from app.cli.words import Sentence, json_option, mode_option, option_option, password_option, target_at, told
from app.models.acts import Delete, Discard, Move, Purge, Restore, RestoreFile
from app.models.formats import age, bytes_, date_time, number_of
from app.models.profiles import Mode
from app.paths import audit_file

_broker = click.argument("url", metavar="URL|PROFILE")
_ids = click.option("--id", "ids", multiple=True, metavar="ID", help="Only the message of this task; may be repeated.")


@click.command()
@_broker
@click.argument("queue")
@click.option(
    "--backup",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a copy of what is purged to a new file, too.",
)
@act_options
def purge(url: str, queue: str, backup: Path | None, **how: Any) -> None:
    """Move all that waits in a queue into a quarantine, from where it can be restored."""
    act_on(url, Purge(queue, str(backup.absolute()) if backup is not None else ""), **how)


@click.command()
@_broker
@click.argument("quarantine", required=False)
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Instead of a quarantine, the messages of a file that `purge --backup` or `messages --export` wrote.",
)
@click.option("--queue", default="", metavar="NAME", help="Put those of the file into this queue, instead of theirs.")
@click.option("--again", is_flag=True, help="Also those of the file that are in the broker already.")
@click.option("--count", "number", type=click.IntRange(1), metavar="N", help="Only the N that are taken next.")
@_ids
@act_options
def restore(
    url: str,
    quarantine: str | None,
    file: Path | None,
    queue: str,
    number: int | None,
    ids: Sequence[str],
    *,
    again: bool,
    **how: Any,
) -> None:
    """Put what was purged back into its queue, in its old order, before what came since.

    Messages of a file go behind what came since.
    """
    if (quarantine is None) == (file is None):
        raise click.UsageError("Name a quarantine, or a file with --file.")
    if file is not None:
        if number is not None or ids:
            raise click.UsageError("A file is restored as a whole, without --count and --id.")
        act_on(url, RestoreFile(str(file.absolute()), queue, again), **how)
        return
    if queue or again:
        raise click.UsageError("--queue and --again are for files, with --file.")
    if number is not None and ids:
        raise click.UsageError("--count and --id choose messages in two ways: use one of them.")
    act_on(url, Restore(str(quarantine), number, list(ids)), **how)


@click.command()
@_broker
@click.argument("quarantine")
@act_options
def discard(url: str, quarantine: str, **how: Any) -> None:
    """Really delete a quarantine. There is no way back."""
    act_on(url, Discard(quarantine), **how)


@click.command()
@_broker
@click.argument("queue")
@click.option("--id", "ids", multiple=True, required=True, metavar="ID", help="The id of a task; may be repeated.")
@act_options
def delete(url: str, queue: str, ids: Sequence[str], **how: Any) -> None:
    """Take single messages out of a queue, into a quarantine."""
    act_on(url, Delete(queue, list(ids)), **how)


@click.command()
@_broker
@click.argument("queue")
@click.argument("to")
@_ids
@act_options
def move(url: str, queue: str, to: str, ids: Sequence[str], **how: Any) -> None:
    """Move messages that wait in a queue to another one: all, or single ones."""
    act_on(url, Move(queue, to, list(ids)), **how)


@click.command()
@_broker
@option_option
@mode_option
@password_option
@json_option
def quarantines(url: str, options: Sequence[str], mode: Mode | None, *, password_stdin: bool, as_json: bool) -> None:
    """What was purged, and neither restored nor discarded yet."""
    from app.collectors.brokers import broker_of
    from app.collectors.clean import clean_word
    from app.models.activity import filled
    from app.models.audit_chain import AuditError
    from app.models.redact import redact_url

    target = target_at(url, options, mode=mode, password_stdin=password_stdin)

    def listed() -> int:
        broker = broker_of(target.examine())
        vault = broker.vault(target.mode, on_command=lambda _number: None)
        try:
            found = vault.quarantines(filled(audit_file(), redact_url(target.url)))
        except AuditError as error:
            raise Sentence(str(error)) from error
        finally:
            vault.close()
        if broker.marks and "management_url" not in target.options:
            click.echo("Without management_url only quarantines that were filled from here are known.", err=True)
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
            return 0
        for each in found:
            size = "" if each.size is None else f"  {bytes_(each.size)}"
            since = "" if each.made is None else f"  purged {age(max(0.0, time.time() - each.made))} ago"
            click.echo(f"{clean_word(each.name)}  {number_of(each.total, 'message')}{size}{since}")
        if not found:
            click.echo("There are no quarantines.")
        return 0

    sys.exit(told(listed))


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="Show so many messages at most.")
@json_option
def backup(file: Path, limit: int, *, as_json: bool) -> None:
    """Check a file of messages that `purge --backup` or `messages --export` wrote, and show what it holds."""
    from app.cli.messages import message_line
    from app.collectors.clean import clean_word
    from app.collectors.filler import message_in
    from app.models.backups import BackupError, BackupReader

    try:
        reader = BackupReader(file)
        # Nothing is told of a file that is not whole.
        number = reader.verify()
        shown = [message_in(raw) for raw, _ in zip(reader.messages(), range(limit), strict=False)]
    except BackupError as error:
        raise Sentence(str(error)) from error
    about = reader.about
    if as_json:
        plain = {"messages": number} | msgspec.structs.asdict(about) | {"first": shown}
        click.echo(msgspec.json.format(msgspec.json.encode(plain)).decode())
        return
    for place, message in enumerate(shown):
        click.echo(message_line(place, message))
    of = clean_word(f"{about.queue} on {about.broker}")
    click.echo(
        f"{number_of(number, 'message')} of {of}, {date_time(about.made)}. The file is as it was written.", err=True
    )
