"""When a connection counts as dead."""

from __future__ import annotations

from sinks.delivery.circuit import Circuit


def test_an_outage_begins_once_and_keeps_its_first_reason() -> None:
    circuit = Circuit(epoch=3)
    assert circuit.open("revoked", 10.0)
    assert not circuit.open("again", 11.0)
    assert (circuit.reason, circuit.number) == ("revoked", 3_000_001)


def test_numbers_grow_over_epochs() -> None:
    old = Circuit(epoch=3)
    for now in range(500):
        old.open("down", float(now))
        old.well()
    assert Circuit(epoch=4).number > old.number


def test_failures_count_only_in_a_row_and_only_when_they_last() -> None:
    circuit = Circuit(epoch=1)
    assert not any(circuit.failed("no answer", 0.1 * number) for number in range(50))
    circuit.answered()
    assert not any(circuit.failed("no answer", 100.0 + number) for number in range(9))
    circuit.answered()
    opened = [circuit.failed("no answer", 200.0 + 3 * number) for number in range(12)]
    assert opened.index(True) == 9
    assert sum(opened) == 1


def test_a_dead_connection_is_asked_less_and_less_often() -> None:
    circuit = Circuit(epoch=1)
    circuit.open("down", 0.0)
    pauses = []
    for _ in range(8):
        now = circuit.retry_at
        circuit.still("still down", now)
        pauses.append(circuit.retry_at - now)
    assert pauses == sorted(pauses)
    assert pauses[-1] == 60.0
    assert circuit.well() == circuit.number
    assert not circuit.is_open
