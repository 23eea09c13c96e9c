"""Stripe's request bodies: forms with bracket nesting (`lines[0][amount]=1000`)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

_PART = re.compile(r"\[([^\]]*)\]")


def parse(body: bytes) -> dict[str, Any]:
    """Return the nested parameters of a form; `a[0]` and `a[]` become lists, values stay text."""
    root: dict[str, Any] = {}
    for name, value in parse_qsl(body.decode(), keep_blank_values=True):
        path = [name.partition("[")[0], *_PART.findall(name)]
        _put(root, path, value)
    return {key: _listed(value) for key, value in root.items()}


def _put(into: dict[str, Any], path: list[str], value: str) -> None:
    for part in path[:-1]:
        into = into.setdefault(part or str(len(into)), {})
    into[path[-1] or str(len(into))] = value


def _listed(value: Any) -> Any:  # noqa: ANN401 - text, list or object
    if not isinstance(value, dict):
        return value
    inner = {key: _listed(item) for key, item in value.items()}
    if inner and all(key.isdigit() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner
