"""The `where` filters of Xero's lists: a small language of comparisons over record fields."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

Test = Callable[[Any], Any]
"""A row (anything with `get`) -> the value of an expression."""
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:\\.|[^"\\])*")|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][\w.]*)"""
    r"""|(?P<sign>==|!=|>=|<=|&&|\|\||[()<>=,!]))"""
)
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_METHODS: Mapping[str, Callable[[str, str], bool]] = {
    "Contains": lambda text, part: part in text,
    "StartsWith": str.startswith,
    "EndsWith": str.endswith,
}
_DATE_PARTS = 3
_TEXT = r'"((?:\\.|[^"\\])*)"'
_EQUAL = re.compile(rf"(\w+)\s*==\s*{_TEXT}")
_ONLY_EQUAL = re.compile(rf"\w+\s*==\s*{_TEXT}(?:\s+OR\s+\w+\s*==\s*{_TEXT})*")
_CONTAINS = re.compile(rf"(\w+)\.Contains\({_TEXT}\)")
_ONLY_CONTAINS = re.compile(
    rf"(\w+)\s*!=\s*null\s+AND\s+(?:\w+\.Contains\({_TEXT}\)"
    rf"|\(\w+\.Contains\({_TEXT}\)(?:\s+OR\s+\w+\.Contains\({_TEXT}\))*\))"
)


class BadFilterError(ValueError):
    """A filter that Xero would not understand."""


def compile_filter(text: str) -> Test:
    """Return the test that *text* stands for; BadFilterError when it is no filter."""
    return _Parser(text).whole()


def one_of(text: str) -> tuple[str, frozenset[str]] | None:
    """Return (field, texts) for a filter that only asks whether one field equals one of some texts, else None."""
    pairs = _EQUAL.findall(text) if _ONLY_EQUAL.fullmatch(text) else []
    names = {name for name, _ in pairs}
    return (names.pop(), frozenset(_plain(value) for _, value in pairs)) if len(names) == 1 else None


def parts_of(text: str) -> tuple[str, frozenset[str]] | None:
    """Return (field, parts) for a filter that only asks whether one field contains one of some texts, else None."""
    match = _ONLY_CONTAINS.fullmatch(text)
    pairs = _CONTAINS.findall(text) if match else []
    names = {name for name, _ in pairs} | ({match[1]} if match else set())
    return (names.pop(), frozenset(_plain(part) for _, part in pairs)) if len(names) == 1 else None


def _plain(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted)


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            if match is None:
                raise BadFilterError(f"unreadable at position {at}")
            kind = str(match.lastgroup)
            self._tokens.append((kind, match[kind]))
            at = match.end()
        self._at = 0

    def whole(self) -> Test:
        test = self._either()
        if self._at != len(self._tokens):
            raise BadFilterError("something is left over")
        return test

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _take(self, wanted: str = "") -> tuple[str, str]:
        if self._at >= len(self._tokens) or (wanted and self._peek() != wanted):
            raise BadFilterError(f"{wanted or 'something'} is missing")
        self._at += 1
        return self._tokens[self._at - 1]

    def _either(self) -> Test:
        tests = [self._both()]
        while self._peek().upper() in {"OR", "||"}:
            self._take()
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._peek().upper() in {"AND", "&&"}:
            self._take()
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _one(self) -> Test:
        if self._peek() == "(":
            self._take()
            inner = self._either()
            self._take(")")
            return inner
        left = self._value()
        if self._peek() not in _COMPARE:
            return left
        compare = _COMPARE[self._take()[1]]
        right = self._value()
        return lambda row: _compared(compare, left(row), right(row))

    def _value(self) -> Test:
        kind, token = self._take()
        if kind == "text":
            plain = _plain(token[1:-1])
            return lambda _: plain
        if kind == "number":
            number = Decimal(token)
            return lambda _: number
        if kind != "word":
            raise BadFilterError(f"{token} is no value")
        if token.lower() in {"null", "true", "false"}:
            constant = {"null": None, "true": True, "false": False}[token.lower()]
            return lambda _: constant
        return self._called(token) if self._peek() == "(" else _field(token)

    def _called(self, name: str) -> Test:
        self._take("(")
        arguments: list[Test] = []
        while self._peek() != ")":
            arguments.append(self._value())
            if self._peek() == ",":
                self._take()
        self._take(")")
        given = [argument({}) for argument in arguments]
        if name.lower() == "guid" and len(given) == 1:
            return lambda _: str(given[0]).lower()
        if name == "DateTime" and len(given) >= _DATE_PARTS:
            moment = date(*(int(part) for part in given[:_DATE_PARTS]))
            return lambda _: moment
        return _method(name, given)


def _method(name: str, given: list[Any]) -> Test:
    path, _, method = name.rpartition(".")
    field = _method(path, []) if path.endswith((".ToLower", ".ToUpper")) else _field(path)
    if method in {"ToLower", "ToUpper"} and path:
        change = str.lower if method == "ToLower" else str.upper
        return lambda row: None if (text := field(row)) is None else change(text)
    if method not in _METHODS or len(given) != 1:
        raise BadFilterError(f"{name} is no function")
    test = _METHODS[method]
    # The vendor fails with an error on a null field; a filter has to ask for `!= null` first.
    return lambda row: test(_text(field(row), name), str(given[0]))


def _text(value: Any, name: str) -> str:  # noqa: ANN401 - a field holds anything
    if value is None:
        raise BadFilterError(f"{name} meets a null")
    return str(value)


def _field(path: str) -> Test:
    names = path.split(".")

    def value(row: Any) -> Any:  # noqa: ANN401 - a field holds anything
        found: Any = row
        for name in names:
            found = found.get(name) if hasattr(found, "get") else None
        return found or None if isinstance(found, str) else found

    return value


def _compared(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:  # noqa: ANN401 - any values
    if left is None or right is None:
        return compare is operator.ne if (left is None) != (right is None) else compare is operator.eq
    try:
        return compare(left, right)
    except TypeError as error:
        raise BadFilterError("values of different kinds are compared") from error
