import msgspec
import pytest

from app.models.stamps import stamps_of


def headers(stamped: object, stamps: object) -> str:
    return msgspec.json.encode({"task": "mail.send", "stamped_headers": stamped, "stamps": stamps}).decode()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (headers(["customer"], {"customer": "1234"}), {"customer": ["1234"]}),
        (headers(["a", "b"], {"a": ["x", "y", "x"], "b": ["é"]}), {"a": ["x", "y"], "b": ["é"]}),
        (headers(["customer"], {"customer": "1", "stray": "2"}), {"customer": ["1"]}),  # workers read listed ones only
        (headers(["n", "m"], {"n": 7, "m": [None, 7, "seven"]}), {"m": ["seven"]}),
        (headers(["gone", "", "empty"], {"": "x", "empty": ""}), {}),
        (headers(None, None), {}),
        ("{}", {}),
        (None, {}),
        ("", {}),
        ('{"stamps": {"customer": "12 and then it was cut …', {}),
        (headers("customer", {"customer": "1"}), {}),
        (headers(["customer"], ["customer"]), {}),
        ("[1]", {}),
    ],
)
def test_stamps_are_those_that_the_headers_of_a_message_list(told: str | None, expected: dict[str, list[str]]) -> None:
    assert stamps_of(told) == expected
