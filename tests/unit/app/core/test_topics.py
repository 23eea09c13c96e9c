"""What every topic must be configured with."""

from __future__ import annotations

from app import platforms
from app.core.topics import DEAD_LETTERS, LINKS_CHANGELOG, ORDERS_CHANGELOG, TOPICS
from streams.engine.topics import CHANGELOG

BY_NAME = {topic.name: topic for topic in TOPICS}
KAFKA_DEFAULT = 1_048_588
HEADERS = 64 * 1024


def test_changelogs_are_configured_as_the_engine_wants_them() -> None:
    for name in (ORDERS_CHANGELOG, LINKS_CHANGELOG):
        assert BY_NAME[name].config == dict(CHANGELOG)


def test_a_dead_letter_holds_any_body_and_any_record_with_its_headers() -> None:
    room = int(BY_NAME[DEAD_LETTERS].config["max.message.bytes"])
    others = [
        int(topic.config.get("max.message.bytes", KAFKA_DEFAULT)) for topic in TOPICS if topic.name != DEAD_LETTERS
    ]
    bodies = [platforms.load(slug).platform.body_limit for slug in platforms.slugs()]
    assert room >= max(others + bodies) + HEADERS
