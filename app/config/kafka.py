"""Where Kafka is, and how clients come in: TLS, client certificates and logins."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from app.config.tls import context

CERTIFICATES = ("ssl_cafile", "ssl_keyfile", "ssl_certfile")
"""What names files in KafkaConfig."""
_ALWAYS = Field(validate_default=True)
_Text = TypeVar("_Text", str, SecretStr)


class KafkaConfig(BaseModel):
    """Where Kafka is and how topics are laid out."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    bootstrap: str = "127.0.0.1:9092"
    partitions: Annotated[int, Field(ge=1, le=1024)] = 8
    replication: Annotated[int, Field(ge=1, le=9)] = 1
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Annotated[Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], _ALWAYS] = ""
    sasl_username: Annotated[str, _ALWAYS] = ""
    sasl_password: Annotated[SecretStr, _ALWAYS] = SecretStr("")
    ssl_cafile: str = ""
    """PEM file of who signs the brokers' certificates; without one the authorities that the system trusts."""
    ssl_key_password: SecretStr = SecretStr("")
    ssl_keyfile: str = ""
    """The key of `ssl_certfile`, where it has a file of its own."""
    ssl_certfile: Annotated[str, _ALWAYS] = ""
    """PEM file of the certificate that is shown to brokers which ask for one."""

    @field_validator("sasl_mechanism", "sasl_username", "sasl_password")
    @classmethod
    def _login_goes_with_sasl(cls, value: _Text, info: ValidationInfo) -> _Text:
        protocol = str(info.data.get("security_protocol", ""))
        if protocol.startswith("SASL") and not value:
            which = " one of PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512" if info.field_name == "sasl_mechanism" else " it"
            message = f"security_protocol {protocol} needs{which}"
            raise ValueError(message)
        if value and protocol in {"PLAINTEXT", "SSL"}:
            message = f"security_protocol {protocol} makes no use of it; write SASL_SSL there or leave it out"
            raise ValueError(message)
        return value

    @field_validator("ssl_cafile", "ssl_key_password", "ssl_keyfile", "ssl_certfile")
    @classmethod
    def _certificates_go_with_tls(cls, value: _Text, info: ValidationInfo) -> _Text:
        protocol = str(info.data.get("security_protocol", ""))
        if value and protocol.endswith("PLAINTEXT"):
            message = f"security_protocol {protocol} makes no use of it; write SSL or SASL_SSL there or leave it out"
            raise ValueError(message)
        return value

    @field_validator("ssl_cafile")
    @classmethod
    def _authorities_are_readable(cls, value: str) -> str:
        if value:
            context(cafile=value)
        return value

    @field_validator("ssl_certfile")
    @classmethod
    def _certificate_has_its_key(cls, value: str, info: ValidationInfo) -> str:
        keyfile, password = info.data.get("ssl_keyfile", ""), info.data.get("ssl_key_password", SecretStr(""))
        if keyfile and not value:
            message = "ssl_keyfile is the key of a certificate; name that here"
            raise ValueError(message)
        if value:
            context(certfile=value, keyfile=keyfile, password=password.get_secret_value())
        return value
