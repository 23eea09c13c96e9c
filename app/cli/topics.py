"""o2c topics apply|show: create what is missing, report what differs; nothing that exists is changed."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

from aiokafka.errors import KafkaError

from app.config.load import load
from app.config.model import Settings
from app.core.topics import DELIVERIES, TOPICS, Topic
from app.kafka import no_answer, reached, security
from streams.engine.topics import Applied, TopicSpec, apply

EXAMPLE = "o2c topics apply --config o2c.toml"
_DAY = 24 * 3600 * 1000
_IN_STEP = "min.insync.replicas"
"""Of a topic with two copies it stays 1: the loss of one broker must not stop all writing."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("topics", help="set up Kafka's topics", epilog=f"example: {EXAMPLE}")
    actions = parser.add_subparsers(dest="action", required=True)
    for name, what in (("apply", "create missing topics"), ("show", "list the topics and what they hold")):
        action = actions.add_parser(
            name,
            help=what,
            epilog=f"example: o2c topics {name}",
            description="Exit: 0 as wanted, 1 a topic differs (reported, never changed), 2 configuration.",
        )
        action.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
        action.add_argument("--json", action="store_true", help="print JSON")
        action.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Apply or show."""
    settings = load(args.config, os.environ)
    if args.action == "show":
        _print([_described(topic, settings) for topic in TOPICS], as_json=args.json)
        return 0
    done = asyncio.run(_reached_and_applied(settings))
    rows = [{"topic": one.name, "outcome": one.outcome, "differences": "; ".join(one.differences)} for one in done]
    _print(rows, as_json=args.json)
    return 1 if any(one.outcome == "differs" for one in done) else 0


async def _reached_and_applied(settings: Settings) -> list[Applied]:
    await reached(settings.kafka)
    try:
        return await apply_topics(settings)
    except KafkaError as error:
        raise no_answer(settings.kafka) from error


async def apply_topics(settings: Settings) -> list[Applied]:
    """Create the missing topics of *settings*."""
    kafka = settings.kafka
    return await apply(kafka.bootstrap, [spec(topic, settings) for topic in TOPICS], security(kafka))


def spec(topic: Topic, settings: Settings) -> TopicSpec:
    """Return what *topic* must look like under *settings*; a record is acknowledged while one copy may be away."""
    partitions, copies = 1 if topic.single else settings.kafka.partitions, settings.kafka.replication
    config = {**topic.config, _IN_STEP: str(max(1, copies - 1))}
    if topic.name == DELIVERIES:
        config["retention.ms"] = str(settings.topics.deliveries_days * _DAY)
    return TopicSpec(settings.topics.prefix + topic.name, partitions, copies, config)


def _described(topic: Topic, settings: Settings) -> dict[str, str]:
    wanted = spec(topic, settings)
    public = "public" if topic.public else "internal"
    return {
        "topic": wanted.name,
        "partitions": str(wanted.partitions),
        "copies": f"{wanted.replication}, {wanted.config[_IN_STEP]} in step",
        "cleanup": topic.cleanup,
        "key": topic.key,
        "use": public,
    }


def _print(rows: list[dict[str, str]], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.writelines(json.dumps(row) + "\n" for row in rows)
        return
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    for row in [{name: name for name in widths}, *rows]:
        sys.stdout.write("  ".join(row[name].ljust(width) for name, width in widths.items()).rstrip() + "\n")
