"""An outcome counts as resolved by asking only when it was unknown, and once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.chaos.journal import Asked

BOOKS = "books|"


@pytest.fixture
def asked() -> Asked:
    made = Asked()
    made.take(BOOKS + "@epoch", b"1")
    return made


def row(asked: Asked, command: str, step: str, state: str, epoch: int = 1, **more: Any) -> None:
    asked.take(f"{BOOKS}{command}/{step}", json.dumps({"state": state, "epoch": epoch, **more}).encode())


def owner_dies(asked: Asked) -> None:
    asked.take(BOOKS + "@epoch", b"2")


def test_an_answered_write_was_never_unknown(asked: Asked) -> None:
    row(asked, "a", "invoice", "intent")
    row(asked, "a", "invoice", "confirmed")
    owner_dies(asked)
    assert (asked.counts["unknown"], asked.resolved) == (0, 0)
    assert asked.confirmed["books", 1] == 1


def test_a_dead_owners_write_is_found_done_or_sent_again(asked: Asked) -> None:
    for command in ("a", "b", "c"):
        row(asked, command, "invoice", "intent")
    owner_dies(asked)
    row(asked, "a", "invoice", "settled", 2)
    row(asked, "b", "invoice", "intent", 2)
    row(asked, "b", "invoice", "confirmed", 2)
    assert dict(asked.counts) == {"unknown": 3, "found": 1, "repeated": 1}
    assert asked.connections["books"].unresolved == {"c"}


def test_a_lost_answer_is_unknown_to_its_own_owner_too(asked: Asked) -> None:
    row(asked, "a", "invoice", "intent")
    row(asked, "a", "invoice", "uncertain")
    row(asked, "a", "invoice", "settled")
    assert dict(asked.counts) == {"unknown": 1, "found": 1}


@pytest.mark.parametrize("state", ["intent", "confirmed"])
def test_every_member_of_a_batch_counts_until_it_has_a_row_of_its_own(asked: Asked, state: str) -> None:
    row(asked, "all", "batch-call", state, members=["a", "b", "c"])
    row(asked, "a", "batch", "confirmed")
    owner_dies(asked)
    row(asked, "b", "batch", "settled", 2)
    row(asked, "c", "invoice", "intent", 2)
    assert dict(asked.counts) == {"unknown": 2, "found": 1, "repeated": 1}


def test_what_an_owner_writes_behind_its_successors_back_is_no_open_outcome(asked: Asked) -> None:
    owner_dies(asked)
    row(asked, "late", "invoice", "intent", 1)
    asked.take(BOOKS + "@epoch", b"3")
    assert (asked.counts["unknown"], asked.open) == (0, [])


def test_a_set_whose_rows_go_was_found_done(asked: Asked) -> None:
    row(asked, "s", "update", "intent")
    owner_dies(asked)
    asked.take(BOOKS + "s/update", None)
    assert dict(asked.counts) == {"unknown": 1, "found": 1}


def test_what_nobody_found_out_is_open_until_the_same_or_a_later_owner_told_it(asked: Asked) -> None:
    for command, told in (("a", None), ("b", 1), ("c", 2), ("d", 3), ("e", 3)):
        row(asked, command, "invoice", "intent", 2)
        if told is not None:
            outcome = "stale" if command == "e" else "deferred" if told == 3 else "confirmed"
            result = {"connection": "books", "command": command, "outcome": outcome, "epoch": told}
            asked.tell(json.dumps(result).encode())
    owner_dies(asked)
    assert asked.open == ["a", "b", "e"]


def test_a_member_of_a_batch_is_open_like_what_was_sent_alone(asked: Asked) -> None:
    row(asked, "all", "batch-call", "intent", 2, members=["a", "b"])
    owner_dies(asked)
    asked.tell(json.dumps({"connection": "books", "command": "a", "outcome": "confirmed", "epoch": 2}).encode())
    assert asked.open == ["b"]
