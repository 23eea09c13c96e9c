"""A history is played in an order in which it can have happened."""

from pathlib import Path

from app.demo.history import Row, possible
from app.demo.reading import read


def test_what_comes_before_its_order_waits_for_it() -> None:
    shipped = Row("2026-03-01", "A", "order.shipped", {})
    other = Row("2026-03-01", "B", "order.created", {})
    made = Row("2026-03-02", "A", "order.created", {})
    assert list(possible([shipped, other, made])) == [other, made, shipped]


def test_what_has_no_order_is_left_out() -> None:
    assert list(possible([Row("2026-03-01", "A", "order.shipped", {})])) == []


def test_a_file_is_read_in_possible_order(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(
        '{"occurred_at": "2026-03-01", "order_id": "A", "type": "order.shipped"}\n'
        '{"at": "2026-03-02", "order": "A", "type": "order.created", "data": {}}\n'
    )
    assert [row.type for row in read(file)] == ["order.created", "order.shipped"]
