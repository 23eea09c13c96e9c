"""The v3 XSDs as a check of JSON: names, nesting, lists and enumerations; attributes are fields as well."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

_XS = "{http://www.w3.org/2001/XMLSchema}"
_NUMBERS = {"decimal", "int", "integer", "positiveInteger", "long"}
_EVERYWHERE = {"domain", "sparse", "status"}
_REFERENCE = {"value", "name", "type"}


class Schema:
    """All complex and simple types of a folder of XSDs."""

    def __init__(self, folder: Path) -> None:
        self._complex: dict[str, ET.Element] = {}
        self._simple: dict[str, ET.Element] = {}
        self._top: dict[str, str] = {}
        self._members: dict[str, list[str]] = {}
        for path in sorted(folder.glob("*.xsd")):
            root = ET.parse(path).getroot()  # noqa: S314 - files of the vendor's SDK, read from disk
            self._complex |= {node.get("name", ""): node for node in root.findall(f"{_XS}complexType")}
            self._simple |= {node.get("name", ""): node for node in root.findall(f"{_XS}simpleType")}
            for node in root.findall(f"{_XS}element"):
                self._top[node.get("name", "")] = _local(node.get("type"))
                self._members.setdefault(_local(node.get("substitutionGroup")), []).append(node.get("name", ""))

    def fields(self, name: str) -> dict[str, tuple[str, bool]]:
        """Return field name -> (type, repeated) of a complex type: inherited ones, and all that may stand for another."""
        node = self._complex[name]
        found: dict[str, tuple[str, bool]] = {}
        for extension in node.iter(f"{_XS}extension"):
            base = _local(extension.get("base"))
            if base in self._complex:
                found |= self.fields(base)
        for element in node.iter(f"{_XS}element"):
            ref = _local(element.get("ref"))
            type_ = self._top.get(ref, "") if ref else _local(element.get("type"))
            repeated = element.get("maxOccurs", "1") != "1"
            found[ref or element.get("name", "")] = (type_, repeated)
            found |= {member: (self._top[member], repeated) for member in self._members.get(ref, ()) if ref}
        for attribute in node.iter(f"{_XS}attribute"):
            found.setdefault(attribute.get("name", ""), (_local(attribute.get("type")), False))
        return found

    def complaints(self, name: str, value: Any, path: str = "") -> Iterator[str]:
        """Yield what in *value* is no *name*."""
        path = path or name
        if name == "ReferenceType" or (name == "MemoRef" and isinstance(value, dict)):
            yield from (f"{path}.{key}" for key in set(value) - _REFERENCE)
        elif name in self._complex:
            if not isinstance(value, dict):
                if not self._is_value(name):
                    yield f"{path} is no object"
                return
            known = self.fields(name)
            for key, inner in value.items():
                if key not in known:
                    if key not in _EVERYWHERE:
                        yield f"{path}.{key} is unknown"
                    continue
                yield from self._inside(known[key], inner, f"{path}.{key}")
        else:
            yield from self._plain(name, value, path)

    def _inside(self, kind: tuple[str, bool], value: Any, path: str) -> Iterator[str]:
        type_, repeated = kind
        if isinstance(value, list) != repeated:
            yield f"{path} is {'no' if repeated else 'a'} list"
            return
        for part in value if isinstance(value, list) else [value]:
            yield from self.complaints(type_, part, path)

    def _is_value(self, name: str) -> bool:
        return self._complex[name].find(f".//{_XS}simpleContent") is not None

    def _plain(self, name: str, value: Any, path: str) -> Iterator[str]:
        words = (
            {node.get("value") for node in self._simple[name].iter(f"{_XS}enumeration")}
            if name in self._simple
            else set()
        )
        if words and value not in words:
            yield f"{path} is {value!r}, none of the enumeration {name}"
        if name == "boolean" and not isinstance(value, bool):
            yield f"{path} is no boolean"
        if name in {"date", "dateTime"} and not re.match(r"\d{4}-\d\d-\d\d", str(value)):
            yield f"{path} is no date"
        if name in _NUMBERS and not _is_number(value):
            yield f"{path} is no number"


def _is_number(value: Any) -> bool:
    try:
        Decimal(str(value))
    except InvalidOperation:
        return False
    return not isinstance(value, (bool, str))


def _local(name: str | None) -> str:
    return (name or "").rpartition(":")[2]
