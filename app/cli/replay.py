"""o2c replay FILE: publish recorded change events again."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from aiokafka.errors import KafkaError

from app.config.load import load
from app.core.errors import DecodeError
from app.gateway.publisher import KafkaPublisher
from app.kafka import refused, security
from schemas.events import ChangeEvent

EXAMPLE = "o2c replay events.jsonl"
_BATCH = 1_000
_DECODER = msgspec.json.Decoder(ChangeEvent)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "replay",
        help="publish recorded change events again",
        epilog=f"example: {EXAMPLE}",
        description="Publishes one change event per JSON line (as `o2c parse` prints them; hints are passed over). "
        "Harmless to repeat: what is known changes nothing. Exit: 0 all acknowledged, 1 a line is unreadable, "
        "2 configuration, or Kafka does not answer.",
    )
    parser.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
    parser.add_argument("--json", action="store_true", help="print the count as JSON")
    parser.add_argument("file", type=Path, help="JSON lines")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Publish the file's events, with progress on standard error."""
    settings = load(args.config, os.environ)
    publisher = KafkaPublisher(settings.kafka.bootstrap, settings.topics.prefix, security(settings.kafka))
    try:
        count = asyncio.run(_publish(publisher, args.file, args.file.stat().st_size))
    except KafkaError as error:
        raise asyncio.run(refused(settings.kafka)) from error
    sys.stdout.write(json.dumps({"published": count}) + "\n" if args.json else f"{count} events published.\n")
    return 0


async def _publish(publisher: KafkaPublisher, path: Path, total: int) -> int:
    count = 0
    try:
        await publisher.start()
        for batch, position in batches(path):
            await publisher.publish(batch, ())
            count += len(batch)
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{count} events, {100 * position // max(1, total)} %")
    finally:
        await publisher.stop()
    return count


def batches(path: Path) -> Iterator[tuple[list[ChangeEvent], int]]:
    """Yield (events, bytes read so far); DecodeError names file and line."""
    batch: list[ChangeEvent] = []
    position = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            position += len(line)
            if (event := _event(line, path, number)) is not None:
                batch.append(event)
            if len(batch) == _BATCH:
                yield batch, position
                batch = []
    if batch:
        yield batch, position


def _event(line: bytes, path: Path, number: int) -> ChangeEvent | None:
    try:
        if msgspec.json.decode(line, type=_Kind).kind == "hint":
            return None
        return _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"{path}:{number}: not a change event ({error}); correct the line.") from error


class _Kind(msgspec.Struct):
    kind: str = "event"
