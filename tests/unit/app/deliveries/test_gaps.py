"""What the vendor's numbers tell of deliveries that never came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaConnectionError

from app.core.metrics import new_metrics
from app.deliveries.translator import Translator
from app.gateway.publisher import KafkaPublisher
from schemas.events import GAP, ChangeEvent, Hint
from tests.made_up_deliveries import order, record, served


class Published:
    """Remembers hints, or refuses them as often as it is told."""

    def __init__(self) -> None:
        self.hints: list[Hint] = []
        self.refusals = 0

    async def publish(self, _events: Sequence[ChangeEvent], hints: Sequence[Hint]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise KafkaConnectionError
        self.hints += hints

    async def dead_letter(self, *_record: object) -> None:
        """Nobody asks for these."""


def _told(first: int, last: int, address: bytes = b"acme/books") -> ConsumerRecord:
    event = b'{"resourceId": "i1", "tenantId": "org", "eventCategory": "INVOICE", "eventType": "UPDATE"}'
    numbers = b'"firstEventSequence": %d,"lastEventSequence": %d' % (first, last)
    return record(b'{"events":[%s],%s, "entropy": "x"}' % (event, numbers), address)


@pytest.fixture
def published() -> Published:
    return Published()


@pytest.fixture
def translator(published: Published) -> Translator:
    return Translator(served(), cast("KafkaPublisher", published), new_metrics())


def _gaps(published: Published) -> list[tuple[str, str]]:
    return [(hint.object.connection, hint.object.id) for hint in published.hints if hint.reason == GAP]


@pytest.mark.parametrize(
    ("numbers", "gaps"),
    [
        ([(76, 76), (77, 79), (80, 80)], []),
        ([(76, 76), (78, 78), (79, 79)], ["78"]),
        ([(76, 78), (77, 77), (79, 79)], []),
        ([(76, 76), (78, 78), (77, 77), (79, 79), (81, 81)], ["78", "81"]),
        ([(76, 76), (0, 0), (77, 77)], []),
        ([(900, 900)], []),
    ],
)
async def test_a_number_that_no_delivery_has_is_told_once(
    translator: Translator, published: Published, numbers: Sequence[tuple[int, int]], gaps: Sequence[str]
) -> None:
    for pair in numbers:
        await translator._translated([_told(*pair)])
    assert _gaps(published) == [("books", first) for first in gaps]
    assert len([hint for hint in published.hints if hint.object.type == "invoice"]) == len(numbers)


async def test_each_address_has_its_count_and_who_counts_nothing_has_none(
    translator: Translator, published: Published
) -> None:
    shared = b"xero/default"
    await translator._translated([_told(5, 5), _told(9, 9, shared), record(order(1)), record(b"{", b"acme/books")])
    await translator._translated([_told(6, 6), _told(10, 10, shared), record(order(2))])
    assert _gaps(published) == []


async def test_a_gap_that_kafka_did_not_take_is_told_again_and_who_comes_back_has_no_old_numbers(
    translator: Translator, published: Published
) -> None:
    await translator._translated([_told(5, 5)])
    published.refusals = 1
    with pytest.raises(KafkaConnectionError):
        await translator._translated([_told(7, 7)])
    await translator._translated([_told(7, 7)])
    assert _gaps(published) == [("books", "7")]
    await translator.on_partitions_revoked([])
    await translator._translated([_told(20, 20)])
    assert len(_gaps(published)) == 1
