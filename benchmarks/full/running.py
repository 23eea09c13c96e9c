"""One run: a company of its own on the given Kafka, the streams worker as `o2c run streams` starts it, and its cost."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from app.broadcasting import send
from app.cli.topics import apply_topics
from app.config.load import load
from app.core import topics
from app.demo import stack
from benchmarks.full.lives import Record
from schemas.broadcast import Fact
from streams.engine.topics import TopicSpec, apply

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from confluent_kafka import Message

    from app.config.model import Settings

WORKER = "one"
OUTPUTS = (
    topics.ORDERS_CHANGELOG, topics.LINKS_CHANGELOG, topics.LINKS, topics.ORDER_FACTS, topics.COMMANDS,
    topics.ORDER_STATES, topics.HINTS, topics.PARKED, topics.DEAD_LETTERS,
)  # fmt: skip
"""All that a streams worker writes."""
INPUTS = (
    topics.CRM_CHANGES, topics.ACCOUNTING_CHANGES, topics.ORDER_FACTS, topics.RESULTS, topics.DECISIONS, topics.LINKS,
)  # fmt: skip
"""All that it reads."""
_ALL = tuple(dict.fromkeys((*INPUTS, *OUTPUTS)))
_SAMPLE, _CALM, _READY = 0.2, 2.0, 60.0
Ends = dict[tuple[str, int], int]


class Stuck(Exception):
    """Nothing moves any more, although not all is done."""


class Sample(NamedTuple):
    """What was seen at one moment."""

    at: float
    cpu: float
    ends: Ends


class Spent(NamedTuple):
    """What a piece of work took of the worker, up to its last acknowledged write."""

    cpu: float
    seconds: float
    threads: dict[str, float]
    batch: float
    """Records per batch, of both tables."""


class Company:
    """The demo's company with topics of its own: a shop, a CRM, two ledgers and a payment service."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.bootstrap, self.folder = bootstrap, folder
        prefix = f"full-{uuid.uuid4().hex[:6]}-"
        urls = {system.connection: "http://127.0.0.1:9" for system in stack.SYSTEMS}
        folder.mkdir(parents=True)
        self.config = folder / "o2c.toml"
        self.config.write_text(stack.config(urls, bootstrap, stack.free_port(), 1.0, prefix), encoding="utf-8")
        self.settings: Settings = load(self.config, os.environ)
        self.prefix = prefix
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        group = {"group.id": f"{prefix}o2c-streams", "enable.auto.commit": False}
        self._group = Consumer({"bootstrap.servers": bootstrap, **group})

    def create(self) -> None:
        """Create the topics, and the floor's, and say what connectors would: that the accounts are known."""
        asyncio.run(apply_topics(self.settings))
        places = [f"{one.connection.name}@{one.connection.account}" for one in self.settings.connections]
        asyncio.run(send(self.settings, *(Fact(kind="start", subject=place) for place in places)))
        floor = TopicSpec(f"{self.prefix}floor", self.settings.kafka.partitions, 1)
        asyncio.run(apply(self.bootstrap, [floor]))

    def places(self, names: Iterable[str]) -> list[TopicPartition]:
        """Return the partitions of topics."""
        return [
            TopicPartition(self.prefix + name, partition)
            for name in names
            for partition in range(self.settings.kafka.partitions)
        ]

    def ends(self) -> Ends:
        """Return where each partition that the worker reads or writes ends."""
        newest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # it has no types
        asked = self._admin.list_offsets(dict.fromkeys(self.places(_ALL), newest))
        return {
            (place.topic.removeprefix(self.prefix), place.partition): future.result().offset
            for place, future in asked.items()
        }

    def behind(self, ends: Ends) -> int:
        """Return how many records the worker has still to commit."""
        places = self._group.committed(self.places(INPUTS), timeout=10)
        return sum(
            ends[place.topic.removeprefix(self.prefix), place.partition] - max(0, place.offset) for place in places
        )

    def close(self) -> None:
        """Disconnect."""
        self._group.close()


def count(ends: Ends, *names: str) -> int:
    """Return how many records topics have."""
    return sum(end for (topic, _), end in ends.items() if topic in names)


@contextmanager
def worker(company: Company, *, module: Sequence[str] = ("app",)) -> Iterator[psutil.Popen]:
    """Run the streams worker until it is ready; *module* names what is run instead of `app`, with its arguments."""
    words = [
        sys.executable,
        "-m",
        *module,
        "run",
        "streams",
        "--config",
        str(company.config),
        "--worker",
        WORKER,
        "--json",
    ]
    with _process(words, company.folder / "streams.log") as process:
        _until_ready(process, company.settings.streams.port)
        yield process


@contextmanager
def answering(company: Company) -> Iterator[Path]:
    """Run the made-up systems; yields the file in which their documents are when they have ended."""
    kept = company.folder / "documents.json"
    words = [sys.executable, "-m", "benchmarks.full.answering", "--config", str(company.config), "--keep", str(kept)]
    with _process(words, company.folder / "answering.log"):
        yield kept


@contextmanager
def _process(words: Sequence[str], log: Path) -> Iterator[psutil.Popen]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with log.open("ab") as told:
        process = psutil.Popen(words, stdout=told, stderr=told, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            code = process.wait(60)
        except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
            process.kill()
            code = process.wait()
    if code:
        raise SystemExit(f"{' '.join(words[1:4])} ended with {code}: {log.read_text()[-2000:]}")


def _until_ready(process: psutil.Popen, port: int) -> None:
    deadline = time.monotonic() + _READY
    while time.monotonic() < deadline and process.is_running():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as reply:
                if reply.status == HTTPStatus.OK:
                    return
        except OSError:  # refused, reset, or no answer in time
            pass
        time.sleep(0.2)
    raise SystemExit("The streams worker does not become ready.")


def cpu(process: psutil.Process) -> float:
    """Return the CPU seconds of a process."""
    spent = process.cpu_times()
    return spent.user + spent.system


def threads(process: psutil.Process) -> dict[str, float]:
    """Return the CPU seconds of the process's threads: of the main one, and of all others together."""
    found = {"main": 0.0, "others": 0.0}
    for one in process.threads():
        found["main" if one.id == process.pid else "others"] += one.user_time + one.system_time
    return found


def publish(company: Company, records: Sequence[Record], rate: float = 0.0) -> None:
    """Produce *records* in their order, *rate* per second or as fast as Kafka takes them."""
    producer = Producer(
        {
            "bootstrap.servers": company.bootstrap, "acks": "all", "enable.idempotence": True, "linger.ms": 5,
            "partitioner": "murmur2_random", "queue.buffering.max.messages": 2_000_000,
            "queue.buffering.max.kbytes": 2_000_000,
        }
    )  # fmt: skip
    began = time.monotonic()
    for number, record in enumerate(records):
        if rate and (wait := began + number / rate - time.monotonic()) > 0:
            time.sleep(wait)
        producer.produce(company.prefix + record.topic, record.value, record.key, headers=list(record.headers))
        producer.poll(0)
    if producer.flush(120):
        raise SystemExit("Kafka does not acknowledge.")


def batches(company: Company) -> tuple[float, float]:
    """Return how many batches the worker has processed of both tables, and the records in them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{company.settings.streams.port}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    told = dict(line.split(" ", 1) for line in lines if line.startswith("o2c_batch_size_"))
    return float(told["o2c_batch_size_count"]), float(told["o2c_batch_size_sum"])


class Watch:
    """Samples a worker from before a piece of work until nothing of it is left."""

    def __init__(self, company: Company, process: psutil.Popen) -> None:
        self._company, self._process = company, process
        self._threads, self._batches = threads(process), batches(company)
        self._samples = [self._sample()]

    def _sample(self) -> Sample:
        return Sample(time.monotonic(), cpu(self._process), self._company.ends())

    def drained(self, patience: float = 60.0) -> Spent:
        """Wait until all was committed and every command answered; return what it took. Stuck after *patience*."""
        done = False
        while not done:
            time.sleep(_SAMPLE)
            self._samples.append(self._sample())
            if not self._process.is_running():
                raise SystemExit("The streams worker ended.")
            calm = self._samples[-1].at - self._last().at
            if calm > _CALM:
                done = self._is_done(self._samples[-1].ends)
            if calm > patience:
                raise Stuck(f"{self._company.behind(self._samples[-1].ends)} records are not committed.")
        first, last = self._samples[0], self._last()
        spent = {name: after - self._threads[name] for name, after in threads(self._process).items()}
        number, records = (now - then for now, then in zip(batches(self._company), self._batches, strict=True))
        return Spent(last.cpu - first.cpu, last.at - first.at, spent, records / max(1.0, number))

    def _is_done(self, ends: Ends) -> bool:
        answered = count(ends, topics.RESULTS) >= count(ends, topics.COMMANDS)
        return answered and self._company.behind(ends) == 0

    def _last(self) -> Sample:
        """Return the first sample in which all writes are."""
        final = self._samples[-1].ends
        return next(one for one in self._samples if one.ends == final)

    @property
    def ends(self) -> tuple[Ends, Ends]:
        """Return where partitions ended before and after."""
        return self._samples[0].ends, self._samples[-1].ends


def read(company: Company, *names: str) -> Iterator[Record]:
    """Yield every record of some topics, each partition in its order."""
    consumer = Consumer(
        {"bootstrap.servers": company.bootstrap, "group.id": "reading", "enable.auto.commit": False}
    )  # fmt: skip
    ends = company.ends()
    left = {place: end for place, end in ends.items() if place[0] in names and end}
    try:
        consumer.assign([TopicPartition(company.prefix + topic, partition, 0) for topic, partition in left])
        while left:
            for record in consumer.consume(1_000, 5.0):
                if (error := record.error()) is not None:
                    raise SystemExit(f"Kafka: {error}")
                name, partition = str(record.topic()).removeprefix(company.prefix), record.partition() or 0
                yield Record(name, record.key() or b"", record.value() or b"", _headers(record))
                if (record.offset() or 0) + 1 >= left.get((name, partition), 0):
                    left.pop((name, partition), None)
    finally:
        consumer.close()


def _headers(record: Message) -> tuple[tuple[str, bytes], ...]:
    found = record.headers() or ()
    pairs = found.items() if isinstance(found, dict) else found
    return tuple((name, value if isinstance(value, bytes) else str(value).encode()) for name, value in pairs)
