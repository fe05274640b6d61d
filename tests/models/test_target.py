"""What a word on the command line points at, and in which file its history is kept."""

from pathlib import Path

import pytest

from app.models.target import TargetError, target_of


@pytest.mark.parametrize(
    ("text", "name", "url", "password"),
    [
        ("redis://localhost:6379/0", "localhost:6379", "redis://localhost:6379/0", None),
        ("redis://localhost/3", "localhost/3", "redis://localhost/3", None),
        ("redis://:p%40ss@shop.example:6380/2", "shop.example:6380/2", "redis://shop.example:6380/2", "p@ss"),
        ("redis://user:secret@shop.example/0", "shop.example", "redis://user@shop.example/0", "secret"),
        ("redis://", "localhost", "redis://", None),
        ("redis:///1", "localhost/1", "redis:///1", None),
        ("redis://[::1]:6379/0", "[::1]:6379", "redis://[::1]:6379/0", None),
    ],
)
def test_an_address_has_a_name_and_its_password_apart(text: str, name: str, url: str, password: str | None) -> None:
    target = target_of(text)
    assert (target.name, target.url, target.password) == (name, url, password)
    assert password is None or password not in str(target.history)


def test_a_file_that_exists_is_a_history_to_read(tmp_path: Path) -> None:
    (tmp_path / "monday.cloche").touch()
    target = target_of(str(tmp_path / "monday.cloche"))
    assert (target.name, target.history, target.url) == ("monday", tmp_path / "monday.cloche", "")


@pytest.mark.parametrize("text", ["", "nowhere.cloche", "localhost:6379", "/", "redis:/localhost"])
def test_a_word_that_is_neither_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(TargetError, match=r"neither a broker address like redis://localhost:6379/0 nor a history file"):
        target_of(text)


@pytest.mark.parametrize("text", ["redis://[::1/0", "redis://[nonsense]/0", "redis://host]/0"])
def test_an_address_that_can_not_be_read_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(TargetError, match=r"can't be read.*\.$"):
        target_of(text)


def test_each_application_has_a_history_of_its_own() -> None:
    targets = [
        target_of("redis://h:1/0"),
        target_of("redis://h:1/1"),
        target_of("redis://h:2/0"),
        target_of("redis://other:1/0"),
        target_of("redis://user@h:1/0"),
        target_of("redis://h:1/0", {"global_keyprefix": "a:"}),
        target_of("redis://h:1/0", {"global_keyprefix": "b:"}),
    ]
    assert len({target.history for target in targets}) == len(targets)


def test_the_same_application_has_the_same_history_whatever_its_password() -> None:
    options = {"sep": ".", "global_keyprefix": "a:"}
    one = target_of("redis://u:one@h:1/0", options)
    other = target_of("redis://u:two@h:1/0", dict(reversed(options.items())))
    assert one.history == other.history


def test_long_names_do_not_make_two_applications_share_a_history() -> None:
    host = "master.a-cluster-with-a-long-name-as-clouds-give-them.abc123.euw1.cache.amazonaws.example:6379"
    one, other = (target_of(f"redis://{host}/0", {"global_keyprefix": prefix}) for prefix in ("a:", "b:"))
    assert one.history != other.history
    assert len(one.history.name) < 100


@pytest.mark.parametrize(
    "text", ["redis://../../etc/passwd", "redis://h/..%2F..%2Fx", "redis://a b\n/0", "redis://é/0"]
)
def test_a_history_is_always_kept_in_its_folder(text: str) -> None:
    usual = target_of("redis://h/0").history.parent
    kept = target_of(text).history
    assert kept.parent == usual
    assert kept.name.isascii()
    assert "/" not in kept.name
