"""Stripe's published parameters and fixtures as a judge of requests and of what a simulated account answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from app.core.talk import Request, Response
from app.sandbox.platforms.stripe import form

_LITERAL = re.compile(r"Literal\[([^\]]*)\]")


class Spec:
    """Judges one call after another; `judged` names those that the published file has, `unknown` the others."""

    def __init__(self, folder: Path) -> None:
        self._calls = json.loads((folder / "params-and-events-2026-10-28.json").read_text())["request_parameters"]
        self._resources = json.loads((folder / "fixtures3-billing.json").read_text())["resources"]
        self.judged: set[str] = set()
        self.unknown: set[str] = set()
        self.answered: set[str] = set()

    def __call__(self, request: Request, reply: Response) -> None:
        """Hold *request* against the parameters and *reply* against the fixtures."""
        call = self._call(request)
        if call is None:
            self.unknown.add(f"{request.method} {re.sub('/[a-z]+_[0-9]+', '/{id}', request.path)}")
            assert request.method in {"GET", "DELETE"}, f"{request.method} {request.path} is in no published file"
        else:
            self.judged.add(call)
            asked = form.parse(urlencode(request.form if request.form is not None else request.params).encode())
            types = self._calls[call]["types"]
            self._values(call, asked, types, self._calls[call]["root"])
        if reply.status == 200:
            self.record(json.loads(reply.body))

    def record(self, said: Any) -> None:
        """Hold every field of a resource, and of those in its lists, against the vendor's own."""
        if isinstance(said, list):
            for one in said:
                self.record(one)
        if not isinstance(said, dict) or said.get("deleted"):
            return
        if (kind := str(said.get("object", ""))) in self._resources:
            self.answered.add(kind)
            extra = set(said) - set(self._resources[kind])
            extra -= {"payments"}  # shown where it is asked for
            assert not extra, f"{kind} has no {sorted(extra)}"
        for value in said.values():
            self.record(value)

    def _call(self, request: Request) -> str | None:
        for call in self._calls:
            method, path = call.split(" ")
            if method == request.method and re.fullmatch(re.sub(r"{\w+}", "[a-z]+_[^/]+", path), request.path):
                return str(call)
        return None

    def _values(self, where: str, said: Mapping[str, Any], types: Mapping[str, Any], name: str) -> None:
        known = types[name]
        assert set(said) <= set(known), f"{where} takes no {sorted(set(said) - set(known))}"
        missing = {field for field, one in known.items() if one["required"]} - set(said)
        assert not missing, f"{where} needs {sorted(missing)}"
        for field, value in said.items():
            self._value(f"{where} {field}", value, types, known[field]["type"])

    def _value(self, where: str, value: Any, types: Mapping[str, Any], wanted: str) -> None:
        if isinstance(value, list):
            assert wanted.startswith("List["), f"{where} is no list"
            for one in value:
                self._value(where, one, types, wanted.removeprefix("List[").removesuffix("]").strip("'"))
        elif isinstance(value, dict):
            nested = next((part for part in wanted.split("|") if part in types), None)
            if nested is not None:
                self._values(where, value, types, nested)
            else:
                assert "Dict[str, str]" in wanted, f"{where} is no object"
        elif wanted == "int":
            assert re.fullmatch(r"-?\d+", value), f"{where} is no whole number: {value}"
        elif wanted == "bool":
            assert value in {"true", "false"}, where
        elif wanted.startswith("Literal") and not wanted.endswith("|str"):
            words = [word.strip(" '") for word in ",".join(_LITERAL.findall(wanted)).split(",")]
            assert value in words, f"{where} is none of {words}: {value}"
