"""Read a history from JSON lines or CSV: all of it is checked before anything is played. docs/histories.md.

Every complaint is a ConfigError with file, line, field and what to do.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from app.core.errors import ConfigError
from app.demo.history import Row, possible
from app.demo.rows import BEGINNINGS, TYPES, Line, checked

_MAPPING = ".mapping.json"
_OURS = ("at", "order", "type")
_OF_ORDER = ("currency", "email", "customer_id")
_DATA, _LINE = "data.", "line."
_KNOWN = frozenset(
    (
        *_OURS,
        *(
            _DATA + name
            for type_ in TYPES.values()
            for name in type_.__struct_fields__
            if name not in {"lines", "items"}
        ),
        *(_LINE + name for name in Line.__struct_fields__),
    )
)


@dataclass(frozen=True)
class _Told:
    """A row and the line of the file where it stands."""

    line: int
    row: Row


class _Record(msgspec.Struct):
    """A row as JSON; `occurred_at` and `order_id` are the same as `at` and `order`."""

    type: str
    at: str | None = None
    occurred_at: str | None = None
    order: str | int | None = None
    order_id: str | int | None = None
    data: Any = None


class _Constant(msgspec.Struct, forbid_unknown_fields=True):
    """What every row has, since no column tells it."""

    value: str


_Mapping = dict[str, str | _Constant]


def read(path: Path) -> Iterator[Row]:
    """Yield the rows of a history file: .jsonl or .csv, both also .gz; ConfigError names the bad line.

    A CSV needs a mapping beside it (`<file>.mapping.json`): our field -> column name or {"value": constant}.
    """
    lines = _lines(path)
    told = list(_csv_rows(lines, path) if ".csv" in path.suffixes else _json_rows(lines, path))
    if not any(one.row.type in BEGINNINGS for one in told):
        raise ConfigError(f"{path}:1: the file holds no order; give rows of type {' or '.join(sorted(BEGINNINGS))}.")
    yield from possible(_fitting(told, path))


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file, unpacked."""
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}:{number}: this line is not UTF-8; save the file as UTF-8.") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        message = f"{path}:{number + 1}: the file is no whole gzip file; pack it again, or name one without .gz."
        raise ConfigError(message) from error
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror}); give ORDERS=<file.jsonl or file.csv>."
        raise ConfigError(message) from error


def _json_rows(lines: Iterable[str], path: Path) -> Iterator[_Told]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        with _right(path, number, "the row"):
            record = msgspec.json.decode(line, type=_Record)
        order, at = record.order or record.order_id, record.at or record.occurred_at
        yield _told(path, number, order, at, record.type, record.data or {})


def _told(
    path: Path, line: int, order: object, at: str | None, type_: str, data: object, *, texts: bool = False
) -> _Told:
    """Return a row whose fields are what they must be."""
    with _right(path, line, type_):
        if not order or not at:
            raise msgspec.ValidationError(f"`{'at' if order else 'order'}` is missing")
        return _Told(line, Row(_moment(at), str(order), type_, checked(type_, data, texts=texts)))


def _moment(at: str) -> str:
    try:
        return datetime.fromisoformat(at).isoformat()
    except ValueError as error:
        raise msgspec.ValidationError(f"at {at!r} is no time; write one as 2026-03-02T09:00:00Z") from error


@contextmanager
def _right(path: Path, line: int, what: str) -> Iterator[None]:
    """Tell the line of what msgspec finds wrong."""
    try:
        yield
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ConfigError(f"{path}:{line}: {what}: {error}; correct it, docs/histories.md lists the fields.") from error


def _fitting(told: Iterable[_Told], path: Path) -> Iterator[Row]:
    """Yield the rows, each with its order's currency and buyer; ConfigError when one cannot happen to its order."""
    told = list(told)
    begun: dict[str, _Told] = {}
    for one in told:
        if one.row.type in BEGINNINGS and (first := begun.setdefault(one.row.order, one)) is not one:
            message = f"the order {one.row.order} began on line {first.line}; give each an id of its own"
            raise ConfigError(f"{path}:{one.line}: {one.row.type}: {message}.")
    for one in told:
        yield _fits(one, begun.get(one.row.order, one), path)


def _fits(one: _Told, first: _Told, path: Path) -> Row:
    """Return the row as it happened to the order that began as *first*."""
    row, began = one.row, first.row
    if row.type not in TYPES or one is first:
        return row
    if row.type.startswith("deal.") != began.type.startswith("deal."):
        message = f"{row.order} is of type {began.type} (line {first.line}), to which this cannot happen"
        raise ConfigError(f"{path}:{one.line}: {row.type}: {message}; correct its type.")
    known = {name: began.data[name] for name in _OF_ORDER if name in began.data}
    return replace(row, data={**known, **row.data})


def _csv_rows(lines: Iterable[str], path: Path) -> Iterator[_Told]:
    """Yield the rows; where the mapping names fields of a line, all that begin one order are that order's lines."""
    reader = csv.DictReader(lines, strict=True)
    mapping: _Mapping = {}
    begun: dict[str, tuple[int, dict[str, str], list[Any]]] = {}
    for number, record in _records(reader, path):
        mapping = mapping or _mapping(path, record)
        values = {"type": "order.created", **_values(mapping, record)}
        if values["type"] not in BEGINNINGS or not any(field.startswith(_LINE) for field in mapping):
            yield _of(path, number, values)
            continue
        with _right(path, number, values["type"]):
            line = msgspec.to_builtins(msgspec.convert(_under(_LINE, values), Line, strict=False))
        _, first, parts = begun.setdefault(values.get("order", ""), (number, {}, []))
        first |= {**values, **first}  # cells that only one of its lines fills
        parts.append(line)
    for number, first, parts in begun.values():
        yield _of(path, number, first, lines=parts)


def _of(path: Path, number: int, values: Mapping[str, str], **more: Any) -> _Told:  # noqa: ANN401 - any field of a row
    data = {**_under(_DATA, values), **more}
    return _told(path, number, values.get("order"), values.get("at"), values["type"], data, texts=True)


def _records(reader: csv.DictReader[str], path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield the records and the lines of the file where they end."""
    last = 1
    try:
        for record in reader:
            if None in record:
                message = "has more cells than the heading has columns; quote cells that hold commas"
                raise ConfigError(f"{path}:{reader.line_num}: this line {message}.")
            yield (last := reader.line_num), record
    except csv.Error as error:
        raise ConfigError(f"{path}:{last + 1}: this is not valid CSV ({error}); correct it.") from error


def _values(mapping: _Mapping, record: Mapping[str, str]) -> dict[str, str]:
    """Return what a record says in our fields; an empty cell says nothing."""
    told = {
        field: source.value if isinstance(source, _Constant) else record[source] for field, source in mapping.items()
    }
    return {field: value.strip() for field, value in told.items() if value and value.strip()}


def _under(prefix: str, values: Mapping[str, str]) -> dict[str, str]:
    return {field.removeprefix(prefix): value for field, value in values.items() if field.startswith(prefix)}


def _mapping(path: Path, columns: Iterable[str]) -> _Mapping:
    """Return our field -> column or constant, from the file beside *path*."""
    file = path.with_name(path.name + _MAPPING)
    try:
        mapping = msgspec.json.decode(file.read_bytes(), type=_Mapping)
    except OSError as error:
        message = f"{path} needs {file.name} beside it ({error.strerror}); write our field -> column name into it"
        raise ConfigError(f"{message}, as docs/histories.md shows.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = f'it is no JSON object of our field -> column name or {{"value": constant}} ({error})'
        raise ConfigError(f"{file}:1: {message}; correct it, docs/histories.md shows one.") from error
    there = {source for source in mapping.values() if isinstance(source, str)}
    wrong: list[tuple[str, Iterable[str]]]
    wrong = [(f"names the field {name}, which there is not", _KNOWN) for name in mapping.keys() - _KNOWN]
    wrong += [(f"names the column {name}, which {path.name} does not have", columns) for name in there - set(columns)]
    wrong += [(f"does not name {name}", columns) for name in ("at", "order") if name not in mapping]
    if wrong:
        what, known = min(wrong, key=lambda one: one[0])
        raise ConfigError(f"{file}:1: the mapping {what}; choose from {', '.join(sorted(known))}.")
    return mapping
