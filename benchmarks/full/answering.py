"""Confirms every command, in a process of its own: `python -m benchmarks.full.answering --config o2c.toml --keep FILE`.

Ends at SIGTERM; what the systems hold then is written to FILE for the verdict.
"""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from app import platforms
from app.config.load import load
from app.core import topics
from app.world import router
from benchmarks.full.lives import to_record
from benchmarks.full.systems import System, kept
from schemas.commands import Command

if TYPE_CHECKING:
    from app.config.model import Settings
    from schemas.events import ChangeEvent

_COMMAND = msgspec.json.Decoder(Command)
_ENCODE = msgspec.json.Encoder().encode
_AT_ONCE = 500
_POLL = 0.05


class Answering:
    """Reads commands, publishes results, and a moment later what sweeps would find."""

    def __init__(self, settings: Settings) -> None:
        self._prefix, self._routed = settings.topics.prefix, router(settings)
        self.systems = {
            one.connection.name: System(platforms.load(one.connection.platform).platform)
            for one in settings.connections
        }
        bootstrap = {"bootstrap.servers": settings.kafka.bootstrap}
        self._producer = Producer(
            {**bootstrap, "acks": "all", "enable.idempotence": True, "linger.ms": 5, "partitioner": "murmur2_random"}
        )
        self._consumer = Consumer({**bootstrap, "group.id": "answering", "enable.auto.commit": False})
        topic = self._prefix + topics.COMMANDS
        parts = range(settings.kafka.partitions)
        self._consumer.assign([TopicPartition(topic, part, OFFSET_BEGINNING) for part in parts])
        self._swept: list[ChangeEvent] = []

    def turn(self) -> None:
        """Answer what came; tell what the turn before changed beside."""
        swept, self._swept = self._swept, []
        for record in self._consumer.consume(_AT_ONCE, _POLL):
            if (error := record.error()) is not None:
                raise SystemExit(f"Kafka: {error}")
            command = _COMMAND.decode(record.value() or b"")
            result, beside = self.systems[command.connection].answer(command)
            self._producer.produce(self._prefix + topics.RESULTS, _ENCODE(result), result.order.encode())
            self._swept += beside
        for event in swept:
            told = to_record(self._routed(event))
            self._producer.produce(self._prefix + told.topic, told.value, told.key, headers=list(told.headers))
        self._producer.poll(0)

    def close(self) -> None:
        """Send what waits."""
        self._producer.flush(30)
        self._consumer.close()


def main() -> None:
    """Answer until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--keep", type=Path, required=True)
    given = parser.parse_args()
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    answering = Answering(load(given.config, os.environ))
    while not stopped:
        answering.turn()
    answering.close()
    given.keep.write_bytes(msgspec.json.encode(kept(answering.systems.values())))


if __name__ == "__main__":
    main()
