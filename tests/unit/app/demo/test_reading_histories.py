"""Every history is checked whole: a complaint is one sentence with file, line, field and what to do."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.core.errors import ConfigError
from app.demo.history import Row, generated
from app.demo.reading import read

MAPPING: Mapping[str, object] = {
    "at": "when",
    "order": "id",
    "data.total": "total",
    "data.currency": {"value": "USD"},
}
BY_LINE: Mapping[str, object] = {
    "at": "Created at", "order": "Name", "data.email": "Email", "data.total": "Total", "data.currency": "Currency",
    "line.title": "Lineitem name", "line.quantity": "Lineitem quantity", "line.price": "Lineitem price",
}  # fmt: skip
CREATED = '{"at": "2026-03-01", "order": "A", "type": "order.created", "data": {"total": "10.00"}}\n'
_ZIPPED = gzip.compress(CREATED.encode(), mtime=0)  # the workers of a run collect the same tests


def _csv(folder: Path, text: str, mapping: object = MAPPING) -> Path:
    path = folder / "orders.csv"
    path.write_text(text, encoding="utf-8")
    (folder / "orders.csv.mapping.json").write_text(json.dumps(mapping), encoding="utf-8")
    return path


def _json(folder: Path, text: str) -> Path:
    path = folder / "orders.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def _refused(path: Path) -> str:
    with pytest.raises(ConfigError) as raised:
        list(read(path))
    said = str(raised.value).removeprefix(str(path.parent) + "/")
    assert said.endswith(".")
    assert "; " in said
    assert "\n" not in said
    return said


def test_a_csv_of_totals_is_orders_of_one_line_and_constants_fill_what_no_column_tells(tmp_path: Path) -> None:
    path = _csv(tmp_path, "id,when,total\nA,2026-03-01,10.00\nB,2026-03-02T09:00:00Z,7.5\n")
    first, second = read(path)
    assert (first.order, first.type, first.at) == ("A", "order.created", "2026-03-01T00:00:00")
    assert first.data["total"] == "10.00"
    assert first.data["currency"] == "USD"
    assert [(line["title"], line["quantity"], line["price"]) for line in first.data["lines"]] == [("Order", 1, "10.00")]
    assert second.data["total"] == "7.50"


def test_csv_rows_of_one_order_are_its_lines(tmp_path: Path) -> None:
    """As shops export them: what belongs to the order stands in its first row alone."""
    heading = "Name,Email,Created at,Currency,Total,Lineitem quantity,Lineitem name,Lineitem price\n"
    lines = "#1,ada@example.com,2026-03-01,EUR,24.50,2,Mug,10.00\n#2,,2026-03-01,EUR,,1,Tee,5\n#1,,,,,3,Pen,1.50\n"
    first, second = read(_csv(tmp_path, "\ufeff" + heading + lines, BY_LINE))
    assert [(line["title"], line["quantity"], line["price"]) for line in first.data["lines"]] == [
        ("Mug", 2, "10.00"),
        ("Pen", 3, "1.50"),
    ]
    assert (first.order, first.data["email"], first.data["total"]) == ("#1", "ada@example.com", "24.50")
    assert (second.order, second.data["total"]) == ("#2", "5.00")


def test_a_csv_may_tell_what_happened_later(tmp_path: Path) -> None:
    mapping = {**MAPPING, "type": "what", "data.amount": "total"}
    path = _csv(
        tmp_path, "id,when,total,what\nA,2026-03-01,10,order.created\nA,2026-03-02,4,payment.recorded\n", mapping
    )
    assert [(row.type, row.data.get("amount")) for row in read(path)] == [
        ("order.created", None),
        ("payment.recorded", "4"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,when,total\nA,2026-03-01,ten\n", "orders.csv:2: order.created: Invalid decimal string - at `$.total`"),
        ("id,when,total\nA,2026-03-01,10\n,2026-03-01,10\n", "orders.csv:3: order.created: `order` is missing"),
        ("id,when,total\nA,,10\n", "orders.csv:2: order.created: `at` is missing"),
        (
            "id,when,total\nA,2026-03-01,10\nA,2026-03-01,5\n",
            "orders.csv:3: order.created: the order A began on line 2",
        ),
        ("id,when,total\nA,2026-03-01,10,00\n", "orders.csv:2: this line has more cells"),
        ('id,when,total\n"A,2026-03-01,10\n', "orders.csv:2: this is not valid CSV"),
        ("id,when\nA,2026-03-01\n", "orders.csv.mapping.json:1: the mapping names the column total, which orders.csv"),
        ("id,when,total\n", "orders.csv:1: the file holds no order"),
    ],
)
def test_what_is_wrong_in_a_csv_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    assert _refused(_csv(tmp_path, text)).startswith(said)


def test_each_line_of_an_order_is_told_where_it_stands(tmp_path: Path) -> None:
    mapping = {"at": "when", "order": "id", "line.price": "price", "line.quantity": "quantity"}
    path = _csv(tmp_path, "id,when,price,quantity\nA,2026-03-01,10,1\nA,2026-03-01,10,two\n", mapping)
    assert _refused(path).startswith("orders.csv:3: order.created: Expected `int`, got `str` - at `$.quantity`")


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ("{", "orders.csv.mapping.json:1: it is no JSON object"),
        ("[]", "orders.csv.mapping.json:1: it is no JSON object"),
        ('{"at": 3}', "orders.csv.mapping.json:1: it is no JSON object"),
        ('{"at": {"constant": "3"}}', "orders.csv.mapping.json:1: it is no JSON object"),
        ('{"at": "when", "data.total": "total"}', "orders.csv.mapping.json:1: the mapping does not name order"),
        (
            '{"at": "when", "order": "id", "data.sum": "total"}',
            "orders.csv.mapping.json:1: the mapping names the field",
        ),
        ("\udcff", "orders.csv.mapping.json:1: it is no JSON object"),
    ],
)
def test_a_mapping_that_is_none_is_told(tmp_path: Path, mapping: str, said: str) -> None:
    path = _csv(tmp_path, "id,when,total\nA,2026-03-01,10\n")
    (tmp_path / "orders.csv.mapping.json").write_bytes(mapping.encode("utf-8", "surrogateescape"))
    assert _refused(path).startswith(said)


def test_a_csv_without_a_mapping_says_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("id,when,total\nA,2026-03-01,10\n")
    assert "needs orders.csv.mapping.json beside it" in _refused(path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", "the row: Expected `object`, got `array`"),
        ("{", "the row: Input data was truncated"),
        ("[" * 5_000, "the row: "),
        ('{"at": "2026-03-01", "order": "B", "data": {}}', "the row: Object missing required field `type`"),
        ('{"at": "2026-03-01", "type": "order.shipped"}', "order.shipped: `order` is missing"),
        ('{"at": "yesterday", "order": "A", "type": "order.shipped"}', "order.shipped: at 'yesterday' is no time"),
        (
            '{"at": "2026-03-01", "order": "A", "type": "payment.recorded"}',
            "payment.recorded: Object missing required field `amount`",
        ),
        (
            '{"at": "2026-03-01", "order": "A", "type": "payment.recorded", "data": {"amount": "NaN"}}',
            "payment.recorded: amount NaN is no amount",
        ),
        (
            '{"at": "2026-03-01", "order": "B", "type": "order.created", "data": {"lines": [{"price": "1", "quantity": "two"}]}}',
            "order.created: Expected `int`, got `str` - at `$.lines[0].quantity`",
        ),
        (
            '{"at": "2026-03-01", "order": "B", "type": "order.created", "data": {"lines": [{"price": "1", "tax_rate": "7"}]}}',
            "order.created: tax_rate 7 is none that the sandbox ledgers have; write 0 or 20 - at `$.lines[0]`",
        ),
        (
            '{"at": "2026-03-01", "order": "B", "type": "order.created", "data": {"total": "3", "lines": [{"price": "1"}]}}',
            "order.created: total 3 is not what the lines come to with tax, 1",
        ),
        (
            '{"at": "2026-03-01", "order": "B", "type": "order.created", "data": {"total": "3", "currency": "euro"}}',
            "order.created: currency euro is no ISO 4217 code",
        ),
        (
            '{"at": "2026-03-01", "order": "A", "type": "deal.charged", "data": {"amount": "3"}}',
            "deal.charged: A is of type order.created (line 1), to which this cannot happen",
        ),
        (CREATED.strip(), "order.created: the order A began on line 1"),
    ],
)
def test_what_is_wrong_in_json_lines_is_told_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    assert _refused(_json(tmp_path, f"{CREATED}\n{line}\n")).startswith(f"orders.jsonl:3: {said}")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("h.jsonl.gz", _ZIPPED[:-10], "h.jsonl.gz:1: the file is no whole gzip file"),
        ("h.jsonl.gz", CREATED.encode(), "h.jsonl.gz:1: the file is no whole gzip file"),
        ("h.jsonl.gz", _ZIPPED[:12] + b"\xff" * 40, "h.jsonl.gz:1: the file is no whole gzip"),
        ("h.jsonl", CREATED.encode() + b"\xff\n", "h.jsonl:2: this line is not UTF-8"),
        ("h.jsonl", b"", "h.jsonl:1: the file holds no order"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert _refused(tmp_path / name).startswith(said)


def test_what_is_generated_can_be_read_again(tmp_path: Path) -> None:
    rows = generated(60, 20)
    text = "".join(
        json.dumps({"at": row.at, "order": row.order, "type": row.type, "data": row.data}) + "\n" for row in rows
    )
    again = list(read(_json(tmp_path, text)))
    assert [(row.at, row.order, row.type) for row in again] == [(row.at, row.order, row.type) for row in rows]
    assert [row.data.get("total") for row in again] == [row.data.get("total") for row in rows]


def test_rows_of_other_types_and_other_fields_are_passed_over(tmp_path: Path) -> None:
    path = _json(
        tmp_path, CREATED + '{"at": "2026-03-01", "order": "A", "type": "order.approved", "data": {"by": 3}}\n'
    )
    assert list(read(path))[1] == Row("2026-03-01T00:00:00", "A", "order.approved", {})


def test_the_examples_of_the_page_can_be_played(root: Path, tmp_path: Path) -> None:
    """Each CSV on it is followed by its mapping."""
    page = (root / "docs" / "histories.md").read_text(encoding="utf-8")
    lines, *mappings = (block.partition("```")[0] for block in page.split("```json\n")[1:])
    tables = [block.partition("```")[0] for block in page.split("```text\n")[1:]]
    assert [row.type for row in read(_json(tmp_path, lines))] == ["order.created", "payment.recorded"]
    assert len(tables) == len(mappings) == 2
    played = [list(read(_csv(tmp_path, text, json.loads(to)))) for text, to in zip(tables, mappings, strict=True)]
    assert [[row.data["total"] for row in rows] for rows in played] == [["10.00"], ["29.40"]]
