"""A partition's home: keys it remembers are placed as Kafka places them, and so are those it has forgotten."""

from __future__ import annotations

from aiokafka.partitioner import DefaultPartitioner

from streams.engine.partitioner import Home

PARTITIONS = 2
KEYS = [b"order-%d" % number for number in range(24_000)]
CHUNKS = [set(KEYS[at : at + 3_000]) for at in range(0, len(KEYS), 1_500)]  # half of each was seen before


def placed(key: bytes, partitions: int) -> int:
    """Return the partition that aiokafka chooses."""
    return DefaultPartitioner()(key, list(range(partitions)), list(range(partitions)))


WHERE = {key: placed(key, PARTITIONS) for key in KEYS}


def test_strangers_are_those_that_kafka_places_elsewhere_also_after_many_keys() -> None:
    home = Home(1, PARTITIONS)

    for keys in CHUNKS:
        assert home.strangers(keys) == {key for key in keys if WHERE[key] != 1}


def test_a_key_that_was_seen_is_placed_in_any_topic_as_kafka_places_it() -> None:
    home = Home(1, PARTITIONS)
    home.strangers(CHUNKS[0])

    for key in list(CHUNKS[0])[:200]:
        assert home.place(key, PARTITIONS) == WHERE[key]
        assert home.place(key, 7) == placed(key, 7)


def test_an_empty_key_belongs_anywhere_and_is_placed_as_any_other() -> None:
    home = Home(0, PARTITIONS)

    assert home.strangers({b""}) == set()
    assert home.place(b"", PARTITIONS) == placed(b"", PARTITIONS)
