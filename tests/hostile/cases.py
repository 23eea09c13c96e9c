"""The bad input of `../shared`, or made-up cases of the same shape where only the project was cloned."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data" / "bad-input"
MADE_UP = ROOT / "tests" / "fixtures" / "hostile"
FILES = ("json", "xml", "strings", "http", "order-json")


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of one file; a string has no expectation but that it stays text."""

    file: str
    name: str
    body: bytes
    expect: str = "accept-as-text"
    coding: str = ""
    raw: bool = False


def folder() -> Path:
    """Return where the cases are."""
    return SHARED if SHARED.is_dir() else MADE_UP


def load(name: str, source: Path) -> list[Case]:
    """Return the cases of the file *name*, packed or not."""
    packed = source / f"{name}.jsonl.gz"
    text = gzip.decompress(packed.read_bytes()) if packed.is_file() else (source / f"{name}.jsonl").read_bytes()
    return [_case(name, json.loads(line)) for line in text.splitlines() if line.strip()]


def _case(file: str, row: dict[str, Any]) -> Case:
    body = base64.b64decode(row.get("b64") or row.get("utf8_b64") or "")
    if "gzip_b64" in row:
        body = gzip.decompress(base64.b64decode(row["gzip_b64"]))
    return Case(
        file=file,
        name=row["name"],
        body=body,
        expect=row.get("expect", "accept-as-text"),
        coding=row.get("content_encoding", ""),
        raw=row.get("raw_request", False),
    )
