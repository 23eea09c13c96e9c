"""Topics are set up by this explicit step, never by a client in passing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from app.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_TRIES, _PAUSE = 100, 0.1
Outcome = Literal["created", "differs", "ok"]

CHANGELOG: Mapping[str, str] = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.2",
    "max.compaction.lag.ms": str(6 * 3_600_000),
    "min.compaction.lag.ms": str(5 * 60_000),  # longer than a worker needs to repair what a late writer appended
    "delete.retention.ms": str(24 * 3_600_000),  # longer than a store may be away, see `disk_age` of WorkerSettings
    "segment.bytes": str(64 * 1024 * 1024),
}


@dataclass(frozen=True)
class TopicSpec:
    """What a topic must look like; `config` names only what matters."""

    name: str
    partitions: int
    replication: int = 3
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Applied:
    """What `apply` found or did; *differences* are sentences for a person."""

    name: str
    outcome: Outcome
    differences: tuple[str, ...] = ()


async def apply(bootstrap: str, specs: Sequence[TopicSpec], security: Mapping[str, Any] | None = None) -> list[Applied]:
    """Create missing topics and report those that differ; nothing that exists is changed."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **(security or {}))
    await admin.start()
    try:
        found = await _describe(admin, specs)
        missing = [spec for spec in specs if spec.name not in found]
        await _create(admin, missing)
        await _until_visible(admin, missing)
        configs = await _configs(admin, [spec for spec in specs if spec.name in found])
    finally:
        await admin.close()
    return [
        Applied(spec.name, "created") if spec in missing else _compare(spec, *found[spec.name], configs[spec.name])
        for spec in specs
    ]


def require_equal_partitions(counts: Mapping[str, int], table: str) -> int:
    """Return the one partition count that all topics of *table* share; raise ConfigError when they differ."""
    if len(set(counts.values())) != 1:
        listed = ", ".join(f"{topic} has {count}" for topic, count in sorted(counts.items()))
        raise ConfigError(f"The topics of table {table} need equal partition counts, but {listed}.")
    return next(iter(counts.values()))


async def _describe(admin: AIOKafkaAdminClient, specs: Iterable[TopicSpec]) -> dict[str, tuple[int, int]]:
    wanted = {spec.name for spec in specs}
    existing = wanted & set(await admin.list_topics())
    described = await admin.describe_topics(sorted(existing)) if existing else []
    return {
        topic["topic"]: (len(topic["partitions"]), min(len(p["replicas"]) for p in topic["partitions"]))
        for topic in described
    }


async def _create(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    if not specs:
        return
    topics = [NewTopic(spec.name, spec.partitions, spec.replication, topic_configs=dict(spec.config)) for spec in specs]
    answer = await admin.create_topics(topics)
    for name, code, *why in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise ConfigError(f"Topic {name} could not be created: {error.__name__} {why[0] if why else ''}.")


async def _until_visible(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    """Wait until the broker lists what it just created: its metadata follow the controller a moment later."""
    wanted = {spec.name for spec in specs}
    for _ in range(_TRIES):
        if wanted <= set(await admin.list_topics()):
            return
        await asyncio.sleep(_PAUSE)
    raise ConfigError(f"Kafka created {len(wanted)} topics but does not list them after {_TRIES * _PAUSE:.0f} s.")


async def _configs(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> dict[str, dict[str, str]]:
    if not specs:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, spec.name) for spec in specs]
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for _, _, _, name, entries in response.resources:
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found


def _compare(spec: TopicSpec, partitions: int, replication: int, config: Mapping[str, str]) -> Applied:
    differences = []
    if partitions != spec.partitions:
        differences.append(f"{partitions} partitions instead of {spec.partitions}")
    if replication < spec.replication:
        differences.append(f"replication {replication} instead of {spec.replication}")
    differences += [
        f"{name} is {config.get(name)} instead of {value}"
        for name, value in spec.config.items()
        if config.get(name) != value
    ]
    return Applied(spec.name, "differs" if differences else "ok", tuple(differences))
