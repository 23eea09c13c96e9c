"""TLS and SASL in [kafka]: what fits together is taken, what does not is told with its line."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from app.config.load import load
from app.config.model import Settings
from app.core.errors import ConfigError
from app.kafka import security
from tests.certificates import Authority

LOGIN = 'sasl_mechanism = "PLAIN"\nsasl_username = "o2c"\nsasl_password = "env:KAFKA_PASSWORD"\n'


def _loaded(folder: Path, kafka: str) -> Settings:
    path = folder / "o2c.toml"
    path.write_text(f'data_dir = "data"\n[kafka]\nbootstrap = "kafka.example:9093"\n{kafka}', encoding="utf-8")
    return load(path, {"KAFKA_PASSWORD": "made-up-password"})


def test_without_a_word_nothing_is_asked_of_kafka(tmp_path: Path) -> None:
    assert security(_loaded(tmp_path, "").kafka) == {}


def test_the_systems_own_authorities_are_trusted_where_none_is_named(tmp_path: Path) -> None:
    told = security(_loaded(tmp_path, 'security_protocol = "SSL"\n').kafka)
    assert (told["security_protocol"], len(told)) == ("SSL", 2)
    assert told["ssl_context"].check_hostname
    assert told["ssl_context"].verify_mode is ssl.CERT_REQUIRED


def test_a_named_authority_is_the_only_one_and_lies_beside_the_configuration(tmp_path: Path) -> None:
    Authority().write(tmp_path)
    told = security(_loaded(tmp_path, 'security_protocol = "SSL"\nssl_cafile = "ca.pem"\n').kafka)
    ((name,), *_) = ((field[0][1],) for one in told["ssl_context"].get_ca_certs() for field in one["subject"])
    assert (name, len(told["ssl_context"].get_ca_certs())) == ("o2c tests", 1)
    assert told["ssl_context"].check_hostname


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_login_goes_with_tls(tmp_path: Path, mechanism: str) -> None:
    settings = _loaded(tmp_path, 'security_protocol = "SASL_SSL"\n' + LOGIN.replace("PLAIN", mechanism))
    told = security(settings.kafka)
    assert isinstance(told.pop("ssl_context"), ssl.SSLContext)
    assert told == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "o2c",
        "sasl_plain_password": "made-up-password",
    }
    assert "made-up-password" not in repr(settings)


def test_a_login_without_tls_has_no_context(tmp_path: Path) -> None:
    told = security(_loaded(tmp_path, f'security_protocol = "SASL_PLAINTEXT"\n{LOGIN}').kafka)
    assert (told["sasl_plain_username"], "ssl_context" in told) == ("o2c", False)


@pytest.mark.parametrize("password", ["", "locks the key"])
def test_a_client_shows_its_certificate(tmp_path: Path, password: str) -> None:
    Authority().write(tmp_path, password)
    names = 'ssl_cafile = "ca.pem"\nssl_certfile = "client.pem"\nssl_keyfile = "key.pem"\n'
    locked = f'ssl_key_password = "{password}"\n' if password else ""
    assert "ssl_context" in security(_loaded(tmp_path, f'security_protocol = "SSL"\n{names}{locked}').kafka)


@pytest.mark.parametrize(
    ("kafka", "line", "told"),
    [
        ('security_protocol = "SASL_SSL"\n', 2, "kafka.sasl_username: .*security_protocol SASL_SSL needs it"),
        ('security_protocol = "SASL_SSL"\n', 2, "kafka.sasl_mechanism: .*needs one of PLAIN, SCRAM-SHA-256 and SCRAM"),
        (f'security_protocol = "SASL_SSL"\n{LOGIN}'.replace('"o2c"', '""'), 6, "kafka.sasl_username: .*needs it"),
        ('sasl_mechanism = "GSSAPI"\n', 4, "kafka.sasl_mechanism: Input should be '', 'PLAIN', 'SCRAM-SHA-256'"),
        ('sasl_username = "o2c"\n', 4, "kafka.sasl_username: .*security_protocol PLAINTEXT makes no use of it; write"),
        (f'security_protocol = "SSL"\n{LOGIN}', 5, "kafka.sasl_mechanism: .*SSL makes no use of it; write SASL_SSL"),
        ('ssl_cafile = "ca.pem"\n', 4, "kafka.ssl_cafile: .*PLAINTEXT makes no use of it; write SSL or SASL_SSL"),
        ('security_protocol = "SSL"\nssl_cafile = "no.pem"\n', 5, r"kafka.ssl_cafile: .*cannot be read \(No such file"),
        ('security_protocol = "SSL"\nssl_cafile = "o2c.toml"\n', 5, "kafka.ssl_cafile: .*cannot be used"),
        ('security_protocol = "SSL"\nssl_keyfile = "key.pem"\n', 2, "kafka.ssl_certfile: .*ssl_keyfile is the key of"),
        (
            'security_protocol = "SSL"\nssl_keyfile = "key.pem"\nssl_certfile = "ca.pem"\n',
            6,
            r"kafka.ssl_certfile: .*cannot be used \(KEY_VALUES_MISMATCH\); name PEM files that belong together",
        ),
    ],
)
def test_what_does_not_fit_is_told_with_its_line(tmp_path: Path, kafka: str, line: int, told: str) -> None:
    Authority().write(tmp_path)
    with pytest.raises(ConfigError, match=rf"o2c.toml:{line}: {told}"):
        _loaded(tmp_path, kafka)


def test_a_key_that_is_locked_is_not_asked_for_on_the_terminal(tmp_path: Path) -> None:
    Authority().write(tmp_path, "locks the key")
    with pytest.raises(ConfigError, match="ssl_certfile or ssl_keyfile cannot be used"):
        _loaded(tmp_path, 'security_protocol = "SSL"\nssl_certfile = "client.pem"\nssl_keyfile = "key.pem"\n')


def test_a_secret_in_place_of_a_path_is_not_quoted(tmp_path: Path) -> None:
    Authority().write(tmp_path)
    with pytest.raises(ConfigError) as raised:
        _loaded(tmp_path, 'security_protocol = "SSL"\nssl_certfile = "client.pem"\nssl_keyfile = "file:key.pem"\n')
    assert "PRIVATE KEY" not in str(raised.value)
