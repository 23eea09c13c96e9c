"""A committed offset that is past unfinished work is found, whatever the work is; one that is not is left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.chaos.watching import Evidence

REF = {"connection": "erp", "account": "erp", "type": "order", "id": "K-1"}
KEY = "erp@erp/order/K-1"


def event(native: int, **more: Any) -> bytes:
    return json.dumps({"object": REF, "version": {"native": native}, "facts": {"type": "order"}, **more}).encode()


def state(native: int) -> bytes:
    seen = {"object": REF, "version": {"native": native}}
    return json.dumps({"key": "k", "objects": {KEY: seen}}).encode()


def take(evidence: Evidence, topic: str, offset: int, key: str, value: bytes | None, **headers: bytes) -> None:
    evidence.take(topic, 0, offset, key, value, tuple(headers.items()))


def judged(evidence: Evidence, topic: str, committed: int) -> list[str]:
    return evidence.judge({(topic, 0): committed})


def test_an_event_is_finished_once_a_table_holds_its_version() -> None:
    evidence = Evidence()
    for offset, native in enumerate((1, 3, 2)):
        take(evidence, "crm-changes", offset, "k", event(native))
    take(evidence, "orders-changelog", 0, "k", state(2))
    assert judged(evidence, "crm-changes", 1) == []
    assert "K-1 of offset 1 is in no table" in judged(evidence, "crm-changes", 2)[0]
    assert judged(evidence, "crm-changes", 3) == []  # an older look is finished by a newer one
    assert evidence.judged == 3


def test_what_is_not_committed_yet_may_be_unfinished() -> None:
    evidence = Evidence()
    take(evidence, "crm-changes", 5, "k", event(1))
    assert judged(evidence, "crm-changes", 5) == []
    assert len(judged(evidence, "crm-changes", 6)) == 1


@pytest.mark.parametrize("finish", ["place", "dead letter", "nobody's"])
def test_an_event_may_leave_in_other_ways(finish: str) -> None:
    evidence = Evidence()
    more = {"facts": {"type": "customer"}} if finish == "nobody's" else {}
    take(evidence, "accounting-changes", 0, "k", event(1, **more))
    if finish == "place":
        place = {"type": "place", "key": KEY, "event": json.loads(event(1))}
        take(evidence, "links", 0, KEY, json.dumps(place).encode())
    elif finish == "dead letter":
        origin = {"origin-topic": b"p-1-accounting-changes", "origin-partition": b"0", "origin-offset": b"0"}
        evidence.take("dead-letters", 0, 0, "k", b"", tuple(origin.items()))
    assert judged(evidence, "accounting-changes", 1) == []


def test_a_link_message_is_finished_by_its_row() -> None:
    evidence = Evidence()
    take(evidence, "links", 0, KEY, b'{"type": "bind"}')
    take(evidence, "links", 1, "other", b'{"type": "bind"}')
    take(evidence, "links-changelog", 0, KEY, b"{}")
    assert [text for text in judged(evidence, "links", 2) if "other" not in text] == []
    evidence = Evidence()
    take(evidence, "links", 0, KEY, b'{"type": "bind"}')
    assert len(judged(evidence, "links", 1)) == 1


@pytest.mark.parametrize(
    ("topic", "key", "value"), [("inbox", "books|c1", b"{}"), ("results", "k", b'{"command": "c1"}')]
)
def test_a_command_is_finished_in_the_inbox_or_by_its_result(topic: str, key: str, value: bytes) -> None:
    evidence = Evidence()
    take(evidence, "commands", 0, "books", b'{"id": "c1"}')
    take(evidence, topic, 0, key, value)
    assert judged(evidence, "commands", 1) == []
    take(evidence, "commands", 1, "books", b'{"id": "c2"}')
    assert "command c2" in judged(evidence, "commands", 2)[0]
