"""How much of a history is kept, as the command line takes it."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app import application
from app.cli import cli
from app.collectors import runner
from app.models.history.errors import HistoryError
from app.models.target import Target
from app.models.wire import Configure


@pytest.mark.parametrize(
    ("words", "seconds", "size"),
    [
        ([], 30 * 86_400.0, 5_000_000_000),
        (["--keep", "12h", "--keep-size", "500MB"], 12 * 3_600.0, 500_000_000),
        (["--keep", "1.5d", "--keep-size", "2 gb"], 1.5 * 86_400.0, 2_000_000_000),
        (["--keep", "forever", "--keep-size", "forever"], None, None),
        (["--no-arguments"], 30 * 86_400.0, 5_000_000_000),
    ],
)
def test_limits_reach_the_collector_and_the_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], seconds: float | None, size: int | None
) -> None:
    recorded: list[Configure] = []
    opened: list[Target] = []

    def record(config: Configure, _emit: object) -> None:
        recorded.append(config)
        raise HistoryError("No more is needed.")

    def run(targets: list[Target], **_more: Any) -> int:
        opened.extend(targets)
        return 0

    monkeypatch.setattr(runner, "Collector", record)
    monkeypatch.setattr(application, "run", run)
    CliRunner().invoke(cli, ["record", "redis://h/0", "--history", str(tmp_path / "h"), *words])
    CliRunner().invoke(cli, ["redis://h/0", *words])
    assert [(config.keep_seconds, config.keep_bytes, config.temporary) for config in recorded] == [
        (seconds, size, False)
    ]
    assert [(target.keep_seconds, target.keep_bytes) for target in opened] == [(seconds, size)]
    kept = "--no-arguments" not in words
    assert [config.keep_arguments for config in recorded] == [target.keep_arguments for target in opened] == [kept]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--keep", "5"], "'5' is not a length of time. Write it like 30d or 12h, or forever."),
        (["--keep", "-1d"], "is not a length of time"),
        (["--keep-size", "5"], "'5' is not a size. Write it like 5GB or 500MB, or forever."),
        (["--keep-size", "5GiB"], "is not a size"),
        (["--keep-size", "20MB"], "A history needs at least 100MB."),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_in_a_sentence(words: list[str], sentence: str) -> None:
    refused = CliRunner().invoke(cli, ["record", "redis://h/0", *words])
    assert refused.exit_code == 2
    assert sentence in refused.stderr.replace("\n", " ")
