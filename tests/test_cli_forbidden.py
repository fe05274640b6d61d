"""A01 on the command line: in another mode than operate no command does anything, whatever else is said."""

import pytest
from click.testing import CliRunner
from redis import Redis

from app.cli import cli
from app.models.profiles import Mode
from tests.features.test_monkey import QUESTIONS, Published
from tests.helpers.messages import fill
from tests.helpers.servers import RedisServer

QUARANTINE = "mail.quarantine.20261122T020728123Z"
#: Every command that acts, but for `audit resume`, which takes up what one of these began.
ACTS = (
    ("purge", "URL", "mail"),
    ("restore", "URL", QUARANTINE),
    ("discard", "URL", QUARANTINE),
    ("delete", "URL", "mail", "--id", "mail-1"),
    ("move", "URL", "mail", "slow"),
    ("rerun", "URL", "mail-1"),
    ("send", "URL", "shop.buy"),
    ("revoke", "URL", "mail-1"),
    ("revoke", "URL", "--stamped", "customer=1"),
    ("worker", "URL", "shutdown", "--worker", "w1@test"),
)
#: What changes the broker while workers are asked: a list of our own for their answers.
ASKING = frozenset({"lpush", "lpop", "expire", "del", "publish"})


@pytest.mark.parametrize("mode", ["passive", "observe"])
@pytest.mark.parametrize("words", ACTS, ids=lambda words: " ".join(words[:1] + words[2:3]))
def test_a01_nothing_is_done_in_another_mode_than_operate(
    words: tuple[str, ...], mode: Mode, redis_server: RedisServer, client: Redis
) -> None:
    fill(client, "mail", range(5))
    fill(client, QUARANTINE, range(5))
    before = {key: client.dump(key) for key in client.scan_iter()}
    client.config_resetstat()
    published = Published(client)
    published.start()
    said = [redis_server.url if word == "URL" else word for word in words]
    try:
        done = CliRunner().invoke(cli, [*said, "--mode", mode, "--yes"])
    finally:
        published.stop()
    assert done.exit_code == 1, done.output
    # Without workers to ask, or a right to ask them, some get no further than that.
    assert f"access mode “{mode}”" in done.output or words[0] in ("revoke", "worker"), done.output
    stats = client.info("commandstats")
    known = client.command()
    writing = {name for name, about in known.items() if "write" in about["flags"]} | {"publish"}
    written = {name.removeprefix("cmdstat_") for name in stats} & writing
    assert written <= (ASKING if mode == "observe" else set())
    assert set(published.methods) <= (QUESTIONS if mode == "observe" else set())
    assert {key: client.dump(key) for key in before} == before
