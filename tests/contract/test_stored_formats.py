"""What is stored changes only together with the number of its format (DESIGN section 6).

`tests/fixtures/states` has one file per table and format: every struct that is stored with its fields, and the words
that may stand in one. An older worker that meets a field or a word that it does not know drops it or puts the order
aside, and only a higher number stops it from that. `python -m tests.contract.test_stored_formats` records the newest;
a version that was released is never recorded again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from schemas import links, state

FOLDER = Path(__file__).parent.parent / "fixtures" / "states"
STORED: dict[str, Any] = {f"orders-{state.FORMAT}": state.Handover, f"links-{links.FORMAT}": links.LinkRow}
"""Table and the highest format of it -> what is stored; a hand-over holds a state."""
Shape = dict[str, list[str]]


def shape(model: Any) -> Shape:
    """Return the names of the fields of every struct in *model*, with the words that may stand there."""
    found: Shape = {}
    todo = [inspect.type_info(model)]
    while todo:
        info = todo.pop()
        if isinstance(info, inspect.StructType) and info.cls.__name__ not in found:
            found[info.cls.__name__] = [_field(field) for field in info.fields]
            todo += [field.type for field in info.fields]
        elif not isinstance(info, inspect.StructType):
            todo += _inner(info)
    return dict(sorted(found.items()))


def _field(field: inspect.Field) -> str:
    words = sorted(str(word) for word in _words(field.type))
    return f"{field.name}: {' | '.join(words)}" if words else field.name


def _words(info: inspect.Type) -> Iterator[Any]:
    if isinstance(info, inspect.LiteralType):
        yield from info.values
    elif not isinstance(info, inspect.StructType):
        for one in _inner(info):
            yield from _words(one)


def _inner(info: inspect.Type) -> list[inspect.Type]:
    """Return the types that *info* is made of."""
    found: list[inspect.Type] = []
    for value in msgspec.structs.asdict(info).values():
        found += [one for one in (value if isinstance(value, tuple) else (value,)) if isinstance(one, inspect.Type)]
    return found


@pytest.mark.parametrize("name", STORED)
def test_a_new_field_or_word_has_a_new_number(name: str) -> None:
    """Where this fails, say what is new under a number of its own: see CONTRIBUTING.md."""
    recorded = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert shape(STORED[name]) == recorded


def test_every_format_since_the_first_release_is_recorded() -> None:
    recorded = {path.stem for path in FOLDER.glob("*.json")}
    numbers = [("orders", number) for number in range(2, state.FORMAT + 1)]
    numbers += [("links", number) for number in range(1, links.FORMAT + 1)]
    assert recorded == {f"{table}-{number}" for table, number in numbers}


def test_the_shape_names_fields_and_their_words_however_deep() -> None:
    found = shape(state.Handover)
    assert {"state", "order", "path", "absorbed"} == set(found["Handover"])
    assert "presence: deleted | present" in found["Observation"]
    assert any(field.startswith("capability: ") and "void_invoice" in field for field in found["WriteRecord"])
    assert "merged_into" in found["Order"]


if __name__ == "__main__":
    for table, model in STORED.items():
        (FOLDER / f"{table}.json").write_text(json.dumps(shape(model), indent=1) + "\n", encoding="utf-8")
