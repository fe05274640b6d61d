from pathlib import Path

import pytest

from tools.links import anchors, dead_links, tracked_documents
from tools.shell import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "picture.png").touch()
    (tmp_path / "a file.txt").touch()
    (tmp_path / "other.md").write_text(
        "# Queue depth, per *priority*\n\n## `cloche demo`\n## Twice\n## Twice\n<a id='own'></a>\n", encoding="utf-8"
    )
    return tmp_path


def dead(folder: Path, text: str) -> list[str]:
    document = folder / "document.md"
    document.write_text(text, encoding="utf-8")
    return [f"{link.line} {link.target}: {link.reason}" for link in dead_links([document])]


@pytest.mark.parametrize(
    "text",
    [
        "[file](other.md) ![picture](picture.png) [folder](.)",
        "[space](a%20file.txt) [space](<a file.txt>)",
        "[heading](other.md#queue-depth-per-priority) [code](other.md#cloche-demo) [html](other.md#own)",
        "[second](other.md#twice-1)",
        "# Here\n[here](#here)",
        "[web](https://example.test/a_(b)?c#d) <https://example.test> [mail](mailto:a@example.test)",
        "[local](http://localhost:8080/) [address](http://127.0.0.1:5555)",
        "[![badge](picture.png)](other.md)",
        "[label][there]\n\n[there]: other.md",
        "`[code](nowhere.md)`\n\n```\n[code](nowhere.md)\n```\n",
        '<img src="picture.png"> <a href="other.md">x</a>',
        "- [ ] a box",
    ],
)
def test_a_live_link_is_left_alone(folder: Path, text: str) -> None:
    assert dead(folder, text) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("one\n[file](nowhere.md)", "2 nowhere.md: there is no such file beside the document"),
        ("![picture](nowhere.png)", "1 nowhere.png: there is no such file beside the document"),
        ("[![badge](nowhere.png)](other.md)", "1 nowhere.png: there is no such file beside the document"),
        ('<img src="nowhere.png">', "1 nowhere.png: there is no such file beside the document"),
        ("[root](/etc/hosts)", "1 /etc/hosts: there is no such file beside the document"),
        ("[heading](other.md#nothing)", "1 other.md#nothing: other.md has no heading for #nothing"),
        ("[here](#nothing)", "1 #nothing: document.md has no heading for #nothing"),
        ("[web](https://)", "1 https://: its host is malformed"),
        ("[web](http://exa_mple)", "1 http://exa_mple: its host is malformed"),
        ("[odd](javascript:alert)", "1 javascript:alert: neither a relative link nor http, https or mailto"),
        ("[label][there]", "1 [label][there]: no line [there]: … says where it leads"),
        ("[there]: nowhere.md", "1 nowhere.md: there is no such file beside the document"),
        ("[empty]()", "1 : it is empty"),
    ],
)
def test_a_dead_link_is_found_with_its_line_and_reason(folder: Path, text: str, fault: str) -> None:
    assert dead(folder, text) == [fault]


def test_anchors_follow_the_rule_of_code_hosts(folder: Path) -> None:
    assert anchors(folder / "other.md") == {"queue-depth-per-priority", "cloche-demo", "twice", "twice-1", "own"}


def test_our_own_documents_are_looked_at_and_those_of_packages_are_not() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in tracked_documents()}
    assert "CHANGELOG.md" in names
    assert not any(name.startswith(".venv/") for name in names)
