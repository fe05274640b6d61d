import ast
import shlex
from pathlib import Path

import msgspec
import pytest

from app.models.records import Task
from app.models.snippets import as_command, as_json, as_python
from app.models.target import Target


def task(**known: object) -> Task:
    return msgspec.convert({"id": 1, "uuid": "3f1c", "seen": 0.0, "name": "leads.scrape"} | known, Task)


def test_a_task_as_json_is_its_whole_record() -> None:
    made = task(args="('x',)", state="FAILURE")
    assert msgspec.json.decode(as_json(made), type=Task) == made


def test_a_task_as_python_is_a_call_with_the_arguments_that_events_told_of() -> None:
    text = as_python(task(args="('x', 2, None)", kwargs="{'deep': [1.5, {'ä'}]}", queue="browser"))
    assert text == (
        "app.signature('leads.scrape', args=('x', 2, None), kwargs={'deep': [1.5, {'ä'}]}).apply_async(queue='browser')"
    )


@pytest.mark.parametrize(
    "args",
    [
        None,
        "('x...', 1)",
        "(" + "1, " * 400 + ")",
        "__import__('os').system('true')",
        "('x',) + ('y',)",
        "(datetime.datetime(2026, 11, 22),)",
        "(b'00ff', 1)",
        "([{'a': b''}],)",
        "{'a': 1}",
        "({[]: 1},)",
        "('\x00',",
        "(" * 300,
    ],
)
def test_what_is_no_plain_literal_is_left_to_be_filled_in(args: str | None) -> None:
    text = as_python(task(args=args, kwargs="{}"))
    *notes, call = text.splitlines()
    assert call == "app.signature('leads.scrape', args=FILL_IN, kwargs={}).apply_async()"
    assert len(notes) == 1
    assert notes[0].startswith("# args, as events told of them: ")


def test_nothing_that_a_broker_told_becomes_code() -> None:
    evil = task(name="a')\nimport os #", args="('x',)  # \n", kwargs="x\nimport os", queue="q'); import os; ('")
    tree = ast.parse(as_python(evil))
    assert [type(statement) for statement in tree.body] == [ast.Expr]
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert names == {"app", "FILL_IN"}


def test_a_command_names_a_kept_connection() -> None:
    target = Target("shop's own", Path("h"), "redis://shop/0", options={"global_keyprefix": "x"}, profile="1")
    assert shlex.split(as_command(task(), target)) == ["cloche", "rerun", "shop's own", "3f1c"]


def test_a_command_has_no_password_in_it() -> None:
    url, backend = "redis://user:canary@shop/0", "redis://:canary@other/1"
    target = Target(
        "shop", Path("h"), url, "canary", {"result_backend": backend, "sep": ":"}, backend_password="canary"
    )
    command = as_command(task(), target)
    assert "canary" not in command
    assert shlex.split(command) == [
        "cloche", "rerun", "--option=result_backend=redis://:***@other/1", "--option=sep=:",
        "redis://user:***@shop/0", "3f1c",
    ]  # fmt: skip


@pytest.mark.parametrize("uuid", ["--help", "$(reboot)", "a; rm -rf ~", "a\nb", "'"])
def test_a_hostile_id_stays_one_word_and_no_option(uuid: str) -> None:
    words = shlex.split(as_command(task(uuid=uuid), Target("shop", Path("h"), "redis://shop/0", profile="1")))
    assert words[-1] == uuid
    assert ("--" in words) == uuid.startswith("-")
