"""What every client of Kafka is told of TLS and SASL, and why Kafka does not let one in."""

from __future__ import annotations

import ssl
from typing import Any

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import IllegalSaslStateError, KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError

from app.config.kafka import KafkaConfig
from app.config.tls import context
from app.core.errors import ConfigError

_PATIENCE_MS = 30_000
"""As the producers wait: a broker that stands still for a moment ends nobody."""
_WAY_IN = "look at [kafka] security_protocol and ssl_certfile"


def security(kafka: KafkaConfig) -> dict[str, Any]:
    """Return aiokafka's arguments for TLS and SASL."""
    protocol = kafka.security_protocol
    found: dict[str, Any] = {} if protocol == "PLAINTEXT" else {"security_protocol": protocol}
    if protocol.startswith("SASL"):
        found |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.sasl_password.get_secret_value(),
        }
    if protocol.endswith("SSL"):
        password = kafka.ssl_key_password.get_secret_value()
        found["ssl_context"] = context(kafka.ssl_cafile, kafka.ssl_certfile, kafka.ssl_keyfile, password)
    return found


def no_answer(kafka: KafkaConfig) -> ConfigError:
    """Return what a person is told where Kafka is away."""
    return ConfigError(f"Kafka does not answer at {kafka.bootstrap}; run `o2c kafka status`.")


async def refused(kafka: KafkaConfig) -> ConfigError:
    """Return why Kafka did not do what it was asked for: that it lets nobody in, or else that it does not answer."""
    try:
        await reached(kafka)
    except ConfigError as error:
        return error
    return no_answer(kafka)


async def reached(kafka: KafkaConfig) -> None:
    """Return once a broker let us in; ConfigError says why none does, and the next step.

    aiokafka's clients say only that none of them could be reached, and log why.
    """
    why: BaseException | None = None
    for host, port, _ in collect_hosts(kafka.bootstrap):
        try:
            connection = await create_conn(host, port, request_timeout_ms=_PATIENCE_MS, **security(kafka))
        except (KafkaError, OSError, TimeoutError) as error:
            why = error
            continue
        await connection.close()
        return
    raise _refusal(kafka, why) from why


def _refusal(kafka: KafkaConfig, why: BaseException | None) -> ConfigError:
    where = f"Kafka at {kafka.bootstrap}"
    if isinstance(why, ssl.SSLCertVerificationError):
        told = f"shows a certificate that is not trusted ({why.verify_message.rstrip('.')})"
        return ConfigError(f"{where} {told}; look at [kafka] ssl_cafile and bootstrap.")
    if isinstance(why, ssl.SSLError):
        return ConfigError(f"{where} and o2c agree on no TLS ({why.reason}); {_WAY_IN}.")
    if isinstance(why, SaslAuthenticationFailed):
        return ConfigError(f"{where} refuses the login; look at [kafka] sasl_username and sasl_password.")
    if isinstance(why, UnsupportedSaslMechanismError | IllegalSaslStateError):
        told = f"takes no login by {kafka.sasl_mechanism}"
        return ConfigError(f"{where} {told}; look at [kafka] security_protocol and sasl_mechanism.")
    if isinstance(why, KafkaError):  # who is away is an OSError; TLS 1.3 tells of a missing certificate by hanging up
        return ConfigError(f"{where} hangs up at once; {_WAY_IN}, and whether it has started.")
    return no_answer(kafka)
