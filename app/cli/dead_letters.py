"""o2c dead-letters list|show|replay: what nobody could use, and another try."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from app.config.load import load
from app.config.model import Settings
from app.core import consumers, topics
from app.core.errors import ConfigError
from app.core.topics import ORIGIN_TOPIC
from app.kafka import refused, security

EXAMPLE = "o2c dead-letters list"
_CONTENT_HEADERS = ("ce_", "content-type", "traceparent", "o2c-kind")
_LETTER_HEADERS = frozenset(("reason", "origin", ORIGIN_TOPIC))


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("dead-letters", help="what nobody could use", epilog=f"example: {EXAMPLE}")
    actions = parser.add_subparsers(dest="action", required=True)
    for name, what in (
        ("list", "one line each"),
        ("show", "one letter with its bytes"),
        ("replay", "publish one again where it came from"),
    ):
        action = actions.add_parser(
            name,
            help=what,
            epilog="example: o2c dead-letters " + (name if name == "list" else f"{name} 0/17"),
            description="Exit: 0 done, 1 there is no such letter, 2 configuration.",
        )
        action.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
        action.add_argument("--json", action="store_true", help="print JSON lines")
        if name != "list":
            action.add_argument("id", help="partition/offset as `list` prints it")
        action.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List, show or replay."""
    settings = load(args.config, os.environ)
    try:
        return asyncio.run(_run(args, settings))
    except KafkaError as error:
        raise asyncio.run(refused(settings.kafka)) from error


async def _run(args: argparse.Namespace, settings: Settings) -> int:
    wanted = getattr(args, "id", None)
    found = 0
    async for record in letters(settings):
        if wanted is not None and identity(record) != wanted:
            continue
        found += 1
        if args.action == "replay":
            await _again(settings, record)
        sys.stdout.write(_line(record, args))
    if wanted is not None and not found:
        sys.stderr.write(f"There is no dead letter {wanted}; see `{EXAMPLE}`.\n")
        return 1
    return 0


def identity(record: ConsumerRecord) -> str:
    """Return partition/offset."""
    return f"{record.partition}/{record.offset}"


def headers(record: ConsumerRecord) -> dict[str, str]:
    """Return the letter's headers as text."""
    return {name: value.decode("utf-8", "replace") for name, value in record.headers}


def _line(record: ConsumerRecord, args: argparse.Namespace) -> str:
    about = headers(record)
    letter: dict[str, Any] = {"id": identity(record), "at": record.timestamp, **about}
    if args.action == "show":
        letter["body"] = base64.b64encode(record.value or b"").decode()
    if args.json:
        return json.dumps(letter) + "\n"
    return "  ".join(_shown(f"{name}={value}") for name, value in letter.items()) + "\n"


def _shown(text: str) -> str:
    """Return what a stranger wrote as a terminal may show it: nothing in it moves the cursor or begins a line."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


async def letters(settings: Settings) -> AsyncIterator[ConsumerRecord]:
    """Yield every dead letter there is now, oldest first per partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap, **security(settings.kafka))
    try:
        await consumer.start()
        topic = settings.topics.prefix + topics.DEAD_LETTERS
        # Not consumer.partitions_for_topic(): a consumer that subscribed to nothing knows of no topic.
        partitions = [TopicPartition(topic, number) for number in range(settings.kafka.partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        # seek_to_beginning() is only asked for in the background: the position would still be the end.
        for partition, begin in (await consumer.beginning_offsets(partitions)).items():
            consumer.seek(partition, begin)
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    yield record
    finally:
        await consumers.stop(consumer)


async def _again(settings: Settings, record: ConsumerRecord) -> None:
    about = headers(record)
    name = about.get(ORIGIN_TOPIC)
    if not name:
        raise ConfigError(
            f"Letter {identity(record)} came from {about.get('origin')}, not from a topic; fix its sender."
        )
    prefix = settings.topics.prefix
    topic = name if name.startswith(prefix) else prefix + name  # stream workers write it with the prefix
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap, acks="all", enable_idempotence=True,
        max_request_size=topics.LARGEST_LETTER, **security(settings.kafka),
    )  # fmt: skip
    try:
        await producer.start()
        whole = topic == prefix + topics.DELIVERIES
        kept = [
            (name, value)
            for name, value in record.headers
            if (name not in _LETTER_HEADERS if whole else name.startswith(_CONTENT_HEADERS))
        ]
        await producer.send_and_wait(topic, record.value, key=record.key, headers=kept)
    finally:
        await producer.stop()
