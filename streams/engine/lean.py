"""A consumer that hands out records as they lie in their batches: to wrap one costs as much as to write its state."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, TopicPartition


class Lean(OrderedDict[Any, Any]):
    """Where aiokafka's fetcher keeps what it fetched: the one place that every answer of a broker passes."""

    def __setitem__(self, tp: TopicPartition, fetched: Any) -> None:  # noqa: ANN401  aiokafka ships no types
        """Keep *fetched*, whose records shall not be wrapped; an error is kept as it is."""
        records = getattr(fetched, "_partition_records", None)
        if records is not None:
            records._consumer_record = _as_it_is  # noqa: SLF001  nothing public leaves it out
        super().__setitem__(tp, fetched)


def _as_it_is(tp: TopicPartition, record: Any) -> Any:  # noqa: ANN401  same
    del tp
    return record


def without_wrapping(consumer: AIOKafkaConsumer) -> None:
    """Have *consumer*, which was just started, give records with offset, key, value, headers and timestamp alone."""
    consumer._fetcher._records = Lean()  # noqa: SLF001  same
