"""The configuration as pydantic models: frozen, unknown keys forbidden, secrets hidden in every repr."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app import platforms
from app.config.kafka import KafkaConfig
from app.core.errors import ConfigError
from schemas.connection import Connection
from schemas.flow import NOT_BEGUN, Dated, Document, Flow, Target

NAME = r"^[a-z][a-z0-9_-]{0,62}$"
Name = Annotated[str, Field(pattern=NAME)]
NO_ACCOUNT = "..."
"""What `o2c init` writes for an account: `o2c connect` tells the right one."""
Port = Annotated[int, Field(ge=0, le=65535)]
_SHARED = ("note", "po_number", "email", "due_date")
"""What two systems may both edit."""


def _wrong(message: str, *where: int | str) -> PydanticCustomError:
    """Return what is wrong between several keys; *where* is the path of the one to correct, from this model on."""
    return PydanticCustomError("between_keys", "{message}", {"message": message, "where": where})


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _address(value: str) -> str:
    """Return *value*, which must be the beginning of http(s) addresses."""
    found = urlsplit(value)
    if found.scheme not in {"http", "https"} or not found.hostname or found.query or found.fragment:
        message = f"{value} is no address; write one as https://o2c.example"
        raise ValueError(message)
    return value


class TopicsConfig(_Section):
    """How topics are named."""

    prefix: Annotated[str, Field(pattern=r"^[a-z0-9._-]{0,40}$")] = ""
    deliveries_days: Annotated[int, Field(ge=1, le=365)] = 7
    """How long webhooks are kept as they came, names and addresses of people included."""


class GatewayConfig(_Section):
    """The webhook receiver."""

    host: str = "127.0.0.1"
    port: Port = 8080
    public_url: str = "http://127.0.0.1:8080"
    """The address that platforms call: some signatures cover it."""
    api_keys: tuple[SecretStr, ...] = ()
    """Keys that other services send as `Authorization: Bearer` to POST /events; those that begin with `whsec_` sign.

    They tell of every tenant; a tenant's own `api_keys` of that one alone.
    """

    @field_validator("public_url")
    @classmethod
    def _platforms_can_call_it(cls, value: str) -> str:
        return _address(value)


class RoleConfig(_Section):
    """The health and metrics port of a role."""

    host: str = "127.0.0.1"
    port: Port = 0


class StreamsConfig(RoleConfig):
    """The stream workers."""

    standbys: Annotated[int, Field(ge=0, le=2)] = 0
    """How many other workers follow each partition's changelog, to take over in seconds."""


class ApiKeyConfig(_Section):
    """A key for the console's API: it belongs to one tenant and sees nothing of another."""

    name: Name
    """Says in logs and decisions who it was."""
    tenant: Name
    role: Literal["viewer", "operator", "admin"] = "viewer"
    key: Annotated[SecretStr, Field(min_length=16)]


class ConsoleConfig(RoleConfig):
    """The read model of all orders and its API."""

    port: Port = 8083
    url: str = ""
    """Where the command line asks it, where that is not its own host and port."""
    api_keys: tuple[ApiKeyConfig, ...] = ()

    @model_validator(mode="after")
    def _keys_differ(self) -> ConsoleConfig:
        names: dict[str, int] = {}
        keys: dict[str, str] = {}
        for position, key in enumerate(self.api_keys):
            if names.setdefault(key.name, position) != position:
                raise _wrong(f"two API keys are called {key.name}; rename one", "api_keys", position, "name")
            if (first := keys.setdefault(key.key.get_secret_value(), key.name)) != key.name:
                message = f"the API keys {first} and {key.name} are the same; make up another"
                raise _wrong(message, "api_keys", position, "key")
        return self


class ConnectionConfig(_Section):
    """One account of one platform."""

    platform: Name
    account: str = Field(NO_ACCOUNT, min_length=1)
    base_url: str = ""
    allow_private: bool = False
    """Allow loopback and private addresses (sandboxes, simulators, an ERP in the same network)."""
    secrets: dict[str, SecretStr] = {}
    options: dict[str, str] = {}
    statuses: dict[str, str] = {}
    stages: dict[str, str] = {}
    accounts: dict[str, str] = {}
    taxes: dict[str, str] = {}
    time_zone: str = "UTC"
    sweep_seconds: Annotated[float, Field(gt=0)] = 600.0
    recheck_seconds: Annotated[float, Field(ge=0)] = 86_400.0
    """How often every open object that o2c wrote is read again by id; 0 = never."""
    webhooks_seconds: Annotated[float, Field(ge=0)] | None = None
    """How often the connectors look whether the webhooks that a person registered still are; 0 = never.

    None: as often as the platform needs (see `Webhooks`).
    """
    quota_share: Annotated[float, Field(gt=0, le=1000)] = 1.0
    start_at: datetime | Literal["first start", "beginning"] = "first start"
    """Objects older than this are read and linked, and written nowhere unless a backfill is asked for."""
    legacy_signatures: bool = False
    """The same as the option `legacy_signatures = "yes"`."""

    @field_validator("time_zone")
    @classmethod
    def _zone_is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)  # a list of all zones takes as long as the rest of a short command
        except (KeyError, OSError, ValueError) as error:
            message = f"there is no time zone {value}; write one as Europe/Berlin"
            raise ValueError(message) from error
        return value

    @model_validator(mode="after")
    def _token_says_the_same(self) -> ConnectionConfig:
        told = _told_by_token(self)
        for option, known in _platform_tells(self.platform).items():
            said, words = self.options.get(option), sorted(set(known.values()), reverse=True)
            if said is not None and said not in words:
                raise _wrong(f"{option} is {said}; write {' or '.join(words)}", "options", option)
            if said is not None and said != told.get(option, said):
                raise _wrong(f"{option} is {said}, the key says {told[option]}; correct one of them", "options", option)
        return self

    @property
    def starts(self) -> datetime | None:
        """Return the moment of `start_at`; None for the beginning, NOT_BEGUN while only the first start tells."""
        if isinstance(self.start_at, datetime):
            return self.start_at if self.start_at.tzinfo else self.start_at.replace(tzinfo=ZoneInfo(self.time_zone))
        return NOT_BEGUN if self.start_at == "first start" else None


class TargetConfig(_Section):
    """One system that a flow writes to."""

    connection: Name
    order: bool = False
    document: Document = "none"
    when: tuple[str, ...] = ("open",)
    dated: Dated = "order"
    due_days: Annotated[int, Field(ge=0, le=365)] = 0
    payments: bool = True
    credits: bool = True
    shipments: bool = True
    status: bool = True
    fields: tuple[str, ...] = _SHARED
    asks: Literal["old", "always", "never"] = "old"
    allow: tuple[str, ...] = ()


class FlowConfig(_Section):
    """The rules for the orders of one key-giver."""

    name: Name
    key_giver: Name
    order_type: str = ""
    targets: tuple[TargetConfig, ...] = ()
    payments_from: tuple[Name, ...] = ()
    ranking: dict[str, tuple[Name, ...]] = {}
    orphan: Literal["list", "create_order"] = "list"
    drift: Literal["repair", "report"] = "repair"
    mode: Literal["shadow", "live"] = "shadow"
    paid_edit: Literal["credit_and_new", "ask"] = "credit_and_new"
    closed_period: Literal["hold", "next_open_day", "ask"] = "next_open_day"
    rounding_cap: Decimal = Decimal("0.05")
    cancelled_invoice: Literal["void", "credit"] = "void"
    expire_days: Annotated[int, Field(ge=0)] = 400
    replan_seconds: Annotated[int, Field(ge=1)] = 900

    @model_validator(mode="after")
    def _ranking_is_of_shared_fields(self) -> FlowConfig:
        for field in self.ranking:
            if field not in _SHARED:
                raise _wrong(f"nobody shares the field {field}; there is {', '.join(_SHARED)}", "ranking", field)
        return self


class TenantConfig(_Section):
    """One customer company: its connections and flows."""

    tenant: Name
    api_keys: tuple[SecretStr, ...] = ()
    """Like those of the gateway, for services that tell of this tenant alone."""
    connections: dict[Name, ConnectionConfig] = {}
    flows: tuple[FlowConfig, ...] = ()

    @model_validator(mode="after")
    def _flows_name_connections(self) -> TenantConfig:
        for position, flow in enumerate(self.flows):
            for name, *where in _named(flow):
                if name not in self.connections:
                    known = ", ".join(self.connections) or "none"
                    message = f"flow {flow.name} names the connection {name}, which is not configured; there is {known}"
                    raise _wrong(message, "flows", position, *where)
        return self

    @model_validator(mode="after")
    def _one_connection_per_account(self) -> TenantConfig:
        seen: dict[tuple[str, str], str] = {}
        for name, connection in self.connections.items():
            first = seen.setdefault((connection.platform, connection.account), name)
            if first != name and connection.account != NO_ACCOUNT:
                message = f"connections {first} and {name} are the same {connection.platform} account; remove one"
                raise _wrong(message, "connections", name, "account")
        return self


def _named(flow: FlowConfig) -> Iterator[tuple[int | str, ...]]:
    """Yield each connection that *flow* names, and the path of the key that does."""
    yield flow.key_giver, "key_giver"
    yield from ((name, "payments_from") for name in flow.payments_from)
    yield from ((target.connection, "targets", at, "connection") for at, target in enumerate(flow.targets))
    yield from ((name, "ranking", field) for field, names in flow.ranking.items() for name in names)


class ResolvedConnection(BaseModel):
    """A connection with its secrets read, as roles use it."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    connection: Connection
    secrets: dict[str, str] = Field(repr=False)
    allow_private: bool
    sweep_seconds: float
    recheck_seconds: float = 86_400.0
    webhooks_seconds: float | None = None
    quota_share: float
    start_at: datetime | None = None
    """Since when its objects are written elsewhere: None always, NOT_BEGUN since a connector first started it."""


class Settings(_Section):
    """Everything a role needs to run."""

    kafka: KafkaConfig = KafkaConfig()
    topics: TopicsConfig = TopicsConfig()
    gateway: GatewayConfig = GatewayConfig()
    streams: StreamsConfig = StreamsConfig(port=8081)
    connectors: RoleConfig = RoleConfig(port=8082)
    console: ConsoleConfig = ConsoleConfig()
    worker: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,80}$")] = "o2c-1"
    data_dir: Path
    key: SecretStr = SecretStr("")
    """Encrypts stored tokens: any long random text."""
    tenants: tuple[TenantConfig, ...] = ()

    @property
    def connections(self) -> list[ResolvedConnection]:
        """Return every connection of every tenant, secrets in clear."""
        return [
            _resolved(tenant.tenant, name, config)
            for tenant in self.tenants
            for name, config in tenant.connections.items()
        ]

    @property
    def flows(self) -> tuple[Flow, ...]:
        """Return every flow as the pure core takes it."""
        return tuple(_flow(tenant.tenant, flow) for tenant in self.tenants for flow in tenant.flows)

    @model_validator(mode="after")
    def _keys_name_tenants(self) -> Settings:
        known = [tenant.tenant for tenant in self.tenants]
        for position, key in enumerate(self.console.api_keys):
            if key.tenant not in known:
                there = ", ".join(known) or "none"
                message = f"an API key of the console names the tenant {key.tenant}, which is not configured"
                raise _wrong(f"{message}; there is {there}", "console", "api_keys", position, "tenant")
        return self

    @model_validator(mode="after")
    def _names_are_unique(self) -> Settings:
        connections: dict[str, str] = {}
        flows: dict[str, str] = {}
        tenants: set[str] = set()
        for number, tenant in enumerate(self.tenants):
            if tenant.tenant in tenants:  # two companies would see each other's orders, and share their keys
                one = "is written down twice; join the two, or give one another name"
                raise _wrong(f"the tenant {tenant.tenant} {one}", "tenants", number, "tenant")
            tenants.add(tenant.tenant)
            for name in tenant.connections:
                if name in connections:
                    users = f"is used by two tenants, {connections[name]} and {tenant.tenant}; rename one of them"
                    raise _wrong(f"the connection name {name} {users}", "tenants", number, "connections", name)
                connections[name] = tenant.tenant
            for position, flow in enumerate(tenant.flows):
                if flow.name in flows:  # its mode would be that of both
                    users = f"is used by {flows[flow.name]} and {tenant.tenant}; rename one of them"
                    raise _wrong(f"the flow name {flow.name} {users}", "tenants", number, "flows", position, "name")
                flows[flow.name] = tenant.tenant
        return self


def _platform_tells(slug: str) -> Mapping[str, Mapping[str, str]]:
    """Return `Platform.told_by_token`; that there is no such platform is told by who uses it."""
    try:
        return platforms.load(slug).platform.told_by_token
    except ConfigError:
        return {}


def _told_by_token(config: ConnectionConfig) -> dict[str, str]:
    """Return the options that the beginning of a configured token tells."""
    token = config.secrets.get("token")
    begins = "" if token is None else token.get_secret_value()
    return {
        option: said
        for option, known in _platform_tells(config.platform).items()
        for prefix, said in known.items()
        if begins.startswith(prefix)
    }


def _resolved(tenant: str, name: str, config: ConnectionConfig) -> ResolvedConnection:
    legacy = {"legacy_signatures": "yes"} if config.legacy_signatures else {}
    connection = Connection(
        name=name,
        tenant=tenant,
        options={**_told_by_token(config), **config.options, **legacy},
        **{
            field: getattr(config, field)
            for field in (
                "platform",
                "account",
                "base_url",
                "statuses",
                "stages",
                "accounts",
                "taxes",
                "time_zone",
            )
        },
    )
    return ResolvedConnection(
        connection=connection,
        secrets={key: secret.get_secret_value() for key, secret in config.secrets.items()},
        allow_private=config.allow_private,
        sweep_seconds=config.sweep_seconds,
        recheck_seconds=config.recheck_seconds,
        webhooks_seconds=config.webhooks_seconds,
        quota_share=config.quota_share,
        start_at=config.starts,
    )


def _flow(tenant: str, config: FlowConfig) -> Flow:
    values = {name: getattr(config, name) for name in FlowConfig.model_fields if name != "targets"}
    targets = tuple(Target(**target.model_dump()) for target in config.targets)
    return Flow(tenant=tenant, targets=targets, **values)
