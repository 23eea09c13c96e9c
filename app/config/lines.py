"""Find the line of a key in TOML text: the parser of the standard library does not tell it."""

from __future__ import annotations

import re

_HEADER = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")


def line_of(text: str, where: tuple[int | str, ...]) -> int:
    """Return the 1-based line that best fits the path *where*, 1 when nothing does.

    Array tables are counted, so `("flows", 1, "name")` is the `name` of the second `[[flows]]`.
    """
    best, best_depth = 1, 0
    for number, path in _keys(text):
        depth = _shared(path, where)
        if depth > best_depth:
            best, best_depth = number, depth
    return best


def _keys(text: str) -> list[tuple[int, tuple[int | str, ...]]]:
    table: tuple[int | str, ...] = ()
    counts: dict[tuple[int | str, ...], int] = {}
    found: list[tuple[int, tuple[int | str, ...]]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            names = tuple(part.strip().strip("\"'") for part in header[1].split("."))
            table = _counted(names, counts, array=line.lstrip().startswith("[["))
            found.append((number, table))
        elif "=" in line and not line.lstrip().startswith("#"):
            found.append((number, (*table, line.partition("=")[0].strip().strip("\"'"))))
    return found


def _counted(names: tuple[str, ...], counts: dict[tuple[int | str, ...], int], *, array: bool) -> tuple[int | str, ...]:
    path: tuple[int | str, ...] = ()
    for position, name in enumerate(names):
        path = (*path, name)
        if array and position == len(names) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _shared(path: tuple[int | str, ...], where: tuple[int | str, ...]) -> int:
    depth = 0
    for left, right in zip(path, where, strict=False):
        if left != right:
            return depth if depth == len(path) else 0
        depth += 1
    return depth if depth == len(path) else 0
