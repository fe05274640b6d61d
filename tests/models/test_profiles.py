"""The file of profiles: what is kept is read, no password is in it, and nothing that can't be read is thrown away."""

import json
import os
import stat
from pathlib import Path

import pytest

from app.models.profiles import Profile, ProfileError, Profiles

SHOP = Profile(
    "shop", "rediss://app@broker.example:6380/2", "production", "passive", "#e5484d",
    {"global_keyprefix": "shop:"}, ["mail"], None, 10**9,
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "profiles.json"


def test_profiles_are_read_as_they_were_put_in_their_order(path: Path) -> None:
    profiles = Profiles(path)
    assert profiles.all == []
    others = [Profile(name, "redis://h") for name in ("b", "a")]
    for profile in (SHOP, *others):
        profiles.put(profile)
    assert Profiles(path).all == [SHOP, *others]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path], "nothing is left beside it"


def test_a_profile_is_replaced_by_its_id_and_found_by_its_name(path: Path) -> None:
    profiles = Profiles(path)
    profiles.put(SHOP)
    renamed = Profile("Shop", "redis://other", id=SHOP.id)
    profiles.put(renamed)
    assert Profiles(path).all == [renamed]
    assert profiles.find("shop") == renamed
    profiles.put(Profile("SHOP", "redis://h"))
    assert profiles.find("shop") is None, "either could be meant"
    assert profiles.find("Shop") == renamed
    profiles.remove(renamed)
    assert [profile.name for profile in Profiles(path).all] == ["SHOP"]


@pytest.mark.parametrize(
    ("profile", "sentence"),
    [
        (Profile("shop", "redis://h"), "already"),
        (Profile(" ", "redis://h"), "needs a name"),
        (Profile("x", "redis://u:canary@h"), "holds no password"),
        (Profile("x", "redis+socket:///s?password=canary"), "holds no password"),
    ],
)
def test_what_makes_no_profile_is_refused_and_changes_nothing(path: Path, profile: Profile, sentence: str) -> None:
    profiles = Profiles(path)
    profiles.put(SHOP)
    with pytest.raises(ProfileError, match=sentence) as refusal:
        profiles.put(profile)
    assert "canary" not in str(refusal.value)
    assert Profiles(path).all == profiles.all == [SHOP]


def test_profiles_go_to_another_machine_without_secrets_and_beside_what_is_there(path: Path, tmp_path: Path) -> None:
    profiles = Profiles(path)
    profiles.put(SHOP)
    profiles.put(Profile("mail", "amqp://app@rabbit/v"))
    exported = json.loads(profiles.export())
    exported["profiles"][1]["url"] = "amqp://app:canary@rabbit/v"  # by whoever edited it
    exported["profiles"][1]["options"] = {"ssh": "bastion", "ssh_config": "/tmp/names-programs"}
    other = Profiles(tmp_path / "other.json")
    other.put(Profile("shop", "redis://h"))
    added = other.take_over(json.dumps(exported).encode())
    assert [profile.name for profile in added] == ["shop 2", "mail"]
    assert {profile.id for profile in added}.isdisjoint(profile.id for profile in profiles.all)
    assert (added[0].url, added[0].options) == (SHOP.url, SHOP.options)
    assert (added[1].url, added[1].options) == ("amqp://app@rabbit/v", {"ssh": "bastion"})
    assert b"canary" not in (tmp_path / "other.json").read_bytes()
    assert Profiles(tmp_path / "other.json").all == other.all


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'{"profiles": []}', b'{"version": 1, "profiles": [{"name": 1}]}', b"\xff"]
)
def test_a_damaged_file_is_set_aside_and_nothing_of_it_is_lost(path: Path, text: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(text)
    profiles = Profiles(path)
    assert profiles.all == []
    aside = path.with_name("profiles.json.damaged-1")
    assert str(aside) in profiles.said
    assert aside.read_bytes() == text
    profiles.put(SHOP)
    path.write_bytes(text)
    assert "damaged-2" in Profiles(path).said
    with pytest.raises(ProfileError, match="no file of profiles"):
        profiles.take_over(text)


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b'{"version": 2, "profiles": {"new": "shape"}}')
    with pytest.raises(ProfileError, match="newer version"):
        Profiles(path)
    assert path.read_bytes() == b'{"version": 2, "profiles": {"new": "shape"}}'


def test_a_write_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profiles = Profiles(path)
    profiles.put(SHOP)

    def full(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProfileError, match="No space left on device"):
        profiles.put(Profile("mail", "redis://h"))
    assert Profiles(path).all == profiles.all == [SHOP]
    assert list(path.parent.iterdir()) == [path]
