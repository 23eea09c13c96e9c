"""What Faust's own clients are told of TLS and SASL is what all others are told."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from streams.engine.host import _credentials

CONTEXT = ssl.create_default_context()
LOGIN = {"sasl_plain_username": "o2c", "sasl_plain_password": "made-up-password"}


@pytest.mark.parametrize(
    "security",
    [
        {"security_protocol": "SSL", "ssl_context": CONTEXT},
        {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "ssl_context": CONTEXT, **LOGIN},
        {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "ssl_context": CONTEXT, **LOGIN},
        {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-256", **LOGIN},
    ],
)
def test_fausts_clients_come_in_as_ours(security: dict[str, Any]) -> None:
    told = credentials_to_aiokafka_auth(_credentials(security)["broker_credentials"])
    assert {name: value for name, value in told.items() if value is not None} == security


def test_without_tls_and_login_faust_is_told_nothing() -> None:
    assert _credentials({}) == {}
