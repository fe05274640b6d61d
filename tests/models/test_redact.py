import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.models.redact import redact_url, split_password


@pytest.mark.parametrize(
    ("url", "shown", "bare", "password"),
    [
        ("redis://host:6379/0", "redis://host:6379/0", "redis://host:6379/0", None),
        ("redis://:p%40ss@host:1/0", "redis://:***@host:1/0", "redis://host:1/0", "p@ss"),
        ("redis://u:p@host:1/0", "redis://u:***@host:1/0", "redis://u@host:1/0", "p"),
        ("amqp://u:p@h//", "amqp://u:***@h//", "amqp://u@h//", "p"),
        ("amqp://u@h/v", "amqp://u@h/v", "amqp://u@h/v", None),
        ("amqp://u:@h", "amqp://u:@h", "amqp://u@h", ""),
        ("sqs://AKIA:se%2Fcret@", "sqs://AKIA:***@", "sqs://AKIA@", "se/cret"),
        ("memory://", "memory://", "memory://", None),
        # Unix sockets
        ("redis+socket:///run/r.sock?virtual_host=3", *["redis+socket:///run/r.sock?virtual_host=3"] * 2, None),
        ("redis+socket:///run/a@b:c.sock", *["redis+socket:///run/a@b:c.sock"] * 2, None),
        ("redis+socket://:p@/run/r.sock", "redis+socket://:***@/run/r.sock", "redis+socket:///run/r.sock", "p"),
        ("unix:///r.sock?db=1&password=a%20b", "unix:///r.sock?db=1&password=***", "unix:///r.sock?db=1", "a b"),
        ("unix:///r.sock?Password=a", "unix:///r.sock?Password=***", "unix:///r.sock", "a"),
        # IPv6
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0", "redis://[::1]:6379/0", None),
        ("redis://u:p@[2001:db8::1]:6379", "redis://u:***@[2001:db8::1]:6379", "redis://u@[2001:db8::1]:6379", "p"),
        ("redis://2001%3Adb8%3A%3A1:6379/3", *["redis://2001%3Adb8%3A%3A1:6379/3"] * 2, None),
        # several
        (
            "sentinel://:a@h:1;sentinel://:a@i:2",
            "sentinel://:***@h:1;sentinel://:***@i:2",
            "sentinel://h:1;sentinel://i:2",
            "a",
        ),
        ("amqp://u:a@h, amqp://i", "amqp://u:***@h, amqp://i", "amqp://u@h, amqp://i", "a"),
        # characters that should have been escaped
        ("redis://:p/w@host:1/0", "redis://:***@host:1/0", "redis://host:1/0", "p/w"),
        ("redis://:p@w@host:1/0", "redis://:***@host:1/0", "redis://host:1/0", "p@w"),
        ("redis://:p#w@host:1/0", "redis://:***@host:1/0", "redis://host:1/0", "p#w"),
        ("redis://:p?w@host:1/0", "redis://:***@host:1/0", "redis://host:1/0", "p?w"),
        ("redis://:p@/w?#x@host:1", "redis://:***@host:1", "redis://host:1", "p@/w?#x"),
        ("redis://u:p@s/w@host/0", "redis://u:***@host/0", "redis://u@host/0", "p@s/w"),
        ("redis://:12/34@host", "redis://:***@host", "redis://host", "12/34"),
        ("redis://:p;w,x@host", "redis://:***@host", "redis://host", "p;w,x"),
        ("u:p@host", "u:***@host", "u@host", "p"),
        # An @ elsewhere: the address that is used stays whole, the one that is shown takes no risk.
        ("amqp://u:p@h/v@w", "amqp://u:***@w", "amqp://u@h/v@w", "p"),
        ("redis://:p@h/0?mail=a@b.c/d", "redis://:***@b.c/d", "redis://h/0?mail=a@b.c/d", "p"),
        # other secrets in the query
        (
            "redis://h?ssl_keyfile_password=x&a=1",
            "redis://h?ssl_keyfile_password=***&a=1",
            "redis://h?ssl_keyfile_password=x&a=1",
            None,
        ),
        ("redis://h?pass%77ord=x&y", "redis://h?pass%77ord=***&y", "redis://h?y", "x"),
        (
            "https://h/?a=1;api_key=x&Auth-Token=y",
            "https://h/?a=1;api_key=***&Auth-Token=***",
            "https://h/?a=1;api_key=x&Auth-Token=y",
            None,
        ),
        ("rediss://h?ssl_keyfile=/k&ssl_cert_reqs=none", *["rediss://h?ssl_keyfile=/k&ssl_cert_reqs=none"] * 2, None),
        # The host was forgotten.
        ("redis://:secret", "redis://:***", "redis://:secret", None),
        # no URLs
        ("", "", "", None),
        ("localhost", "localhost", "localhost", None),
        ("no url: at all", "no url: at all", "no url: at all", None),
        ("@", "@", "@", None),
    ],
)
def test_password_is_hidden_and_split(url: str, shown: str, bare: str, password: str | None) -> None:
    assert redact_url(url) == shown
    assert split_password(url) == (bare, password)


ODD = st.text(alphabet="/@#?:;&%=+[] ab1", max_size=6)


@given(
    ODD,
    ODD,
    st.sampled_from(["redis://{}:{}@host:6379/0", "amqp://{}:{}@[::1]:5672//", "{}:{}@h"]),
    st.sampled_from(["", "guest"]),
)
@example("@", "/a", "redis://{}:{}@host:6379/0", "")
def test_no_password_is_ever_shown(before: str, after: str, template: str, user: str) -> None:
    assert "CANARY" not in redact_url(template.format(user, f"{before}CANARY{after}"))


@given(ODD, ODD)
def test_a_password_before_host_and_port_is_always_split(before: str, after: str) -> None:
    password = f"{before}CANARY{after}".replace("%", "x").replace("=", "x")

    assert split_password(f"redis://u:{password}@host:6379/0") == ("redis://u@host:6379/0", password)


@given(st.text(max_size=60) | st.text(alphabet="redis:/@#?&;,=%[]p ", max_size=40))
def test_odd_input_never_fails(url: str) -> None:
    shown = redact_url(url)
    assert redact_url(shown) == shown
    bare, password = split_password(url)
    assert (password is None) == (bare == url)
