"""Settings of applications, as people write them: what is written out is read, and nothing is run."""

from pathlib import Path

import pytest

from app.models.celeryconfig import MAX_FILE, SettingsError, settings_of, settings_of_environment
from app.models.options import TLS as OPTIONS


def test_a_celeryconfig_is_read_with_its_options_and_the_password_apart() -> None:
    found = settings_of(
        """
import os, ssl
broker_url = "rediss://app:s%40cret@broker.example:6380/2"
result_backend = 'redis://:other@results/3'
broker_transport_options = {"global_keyprefix": "shop:", "priority_steps": [0, 5], "visibility_timeout": 3600,
                            "credential_provider": make()}
broker_use_ssl = {'ssl_ca_certs': '/etc/ca.pem', 'ssl_cert_reqs': ssl.CERT_REQUIRED}
task_default_queue = "mail"
event_exchange = "shopev"
"""
    )
    assert (found.url, found.password) == ("rediss://app@broker.example:6380/2", "s@cret")
    assert found.backend_password == "other"
    assert found.options == {
        "global_keyprefix": "shop:", "priority_steps": "0,5", "visibility_timeout": "3600",
        "ssl_ca_certs": "/etc/ca.pem", "ssl_cert_reqs": "CERT_REQUIRED", "event_exchange": "shopev",
        "result_backend": "redis://results/3",
    }  # fmt: skip
    assert found.queues == ["mail"]
    assert found.unread == []


@pytest.mark.parametrize(
    "text",
    [
        "BROKER_URL = 'redis://h/1'",
        "CELERY_BROKER_URL: str = 'redis://h/1'",
        "class Config:\n    broker_url = 'redis://h/1'",
        "app = Celery('shop', broker='redis://h/1')",
        "app.conf.update(broker_url='redis://h/1', task_serializer='json')",
        "app.conf.broker_url = 'redis://h/1'",
        "CELERY = {'broker_url': 'redis://h/1'}",
        "app.conf.update({'broker_url': 'redis://h/1'})",
        "broker_url = ('redis://'\n 'h/1')",
    ],
)
def test_a_broker_is_found_wherever_it_is_written(text: str) -> None:
    assert settings_of(text).url == "redis://h/1"


@pytest.mark.parametrize(
    ("written", "options"),
    [
        ("True", {"ssl_cert_reqs": "required"}),
        (
            "{'ca_certs': '/ca.pem', 'certfile': '/c', 'keyfile': '/k', 'server_hostname': 'x'}",
            {
                "ssl_ca_certs": "/ca.pem", "ssl_certfile": "/c", "ssl_keyfile": "/k", "ssl_server_name": "x",
                "ssl_cert_reqs": "required",
            },
        ),
        ("{'cert_reqs': ssl.CERT_NONE}", {"ssl_cert_reqs": "CERT_NONE"}),
        ("False", {}),
        ("None", {}),
    ],
)  # fmt: skip
def test_a_connection_that_the_application_secures_is_secured(written: str, options: dict[str, str]) -> None:
    found = settings_of(f"broker_url = 'amqp://u:p@h//'\nbroker_use_ssl = {written}\n")
    assert found.options == options
    assert set(found.options) <= set(OPTIONS)


def test_several_addresses_are_those_of_sentinels() -> None:
    assert settings_of("broker_url = ['sentinel://:pw@a', 'sentinel://:pw@b']").url == "sentinel://a;sentinel://b"


def test_nothing_is_run(tmp_path: Path) -> None:
    marker = tmp_path / "run"
    found = settings_of(
        f"open({str(marker)!r}, 'w')\nbroker_url = 'redis://h'\nresult_backend = open({str(marker)!r}, 'w').name\n"
        f"broker_transport_options = {{'sep': __import__('os').system('touch {marker}')}}\n"
    )
    assert not marker.exists()
    assert found.unread == ["result_backend"]
    assert found.options == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "No broker_url is written out"),
        ("broker_url = os.environ['X']", "worked out when the application runs"),
        ("broker_url = f'redis://{host}'", "worked out when the application runs"),
        ("broker_url = 5", "No broker_url"),
        ("broker_url = ", "can't be read as Python"),
        ("x = '\0'", "can't be read as Python"),
        ("(" * 10_000, "can't be read as Python"),
        ("#" * (MAX_FILE + 1), "too large"),
    ],
)
def test_what_names_no_broker_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        settings_of(text)


def test_the_environment_names_a_broker_too() -> None:
    assert settings_of_environment({"PATH": "/bin", "REDIS_URL": "", "BROKER_URL": "nonsense"}) is None
    found = settings_of_environment({"REDIS_URL": "redis://cache", "CELERY_BROKER_URL": "amqp://u:p@rabbit//"})
    assert found is not None
    assert (found.url, found.password) == ("amqp://u@rabbit//", "p")
