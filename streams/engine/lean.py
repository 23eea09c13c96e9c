"""What a consumer wraps each record in: aiokafka's own takes as long to make as a state takes to write."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from streams.engine.fold import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import AIOKafkaConsumer, TopicPartition


class Lean(OrderedDict[Any, Any]):
    """Where aiokafka's fetcher keeps what it fetched: the one place that every answer of a broker passes."""

    def __init__(self, wrap: Callable[[TopicPartition, Any], Any]) -> None:
        """Give records as *wrap* makes them."""
        super().__init__()
        self._wrap = wrap

    def __setitem__(self, tp: TopicPartition, fetched: Any) -> None:  # noqa: ANN401  aiokafka ships no types
        """Keep *fetched*, whose records are wrapped our way; an error is kept as it is."""
        records = getattr(fetched, "_partition_records", None)
        if records is not None:
            records._consumer_record = self._wrap  # noqa: SLF001  nothing public exchanges it
        super().__setitem__(tp, fetched)


def _as_it_is(tp: TopicPartition, record: Any) -> Any:  # noqa: ANN401  same
    del tp
    return record


def _record(tp: TopicPartition, record: Any) -> Record:  # noqa: ANN401  same
    key, value, headers = record.key or b"", record.value or b"", tuple(record.headers)
    return Record(tp.topic, tp.partition, record.offset, key, value, headers, record.timestamp)


def without_wrapping(consumer: AIOKafkaConsumer) -> None:
    """Have *consumer*, which was just started, give records with offset, key, value, headers and timestamp alone."""
    consumer._fetcher._records = Lean(_as_it_is)  # noqa: SLF001  same


def as_records(consumer: AIOKafkaConsumer) -> None:
    """Have *consumer*, which was just started, give the records of the engine."""
    consumer._fetcher._records = Lean(_record)  # noqa: SLF001  same
