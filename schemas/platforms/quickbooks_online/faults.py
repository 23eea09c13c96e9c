"""What a reply of QuickBooks complains about: JSON in either case, or XML as older gateways send it."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any, NamedTuple

from schemas.jsontext import read_json

NAMED = MappingProxyType(
    {
        "120": "the user who connected the app is no longer an administrator",
        "500": "the operation is not supported",
        "610": "the object does not exist or is inactive",
        "2010": "the request is malformed",
        "2020": "a required field is missing",
        "2050": "a text is too long",
        "2500": "a reference leads to nothing",
        "3001": "the request limit is reached",
        "3100": "the app is not authorised for this company",
        "3200": "the access token is not valid",
        "4000": "the query cannot be parsed",
        "4001": "the query is not valid",
        "5010": "somebody changed the object since it was read",
        "6000": "a business rule is broken",
        "6070": "a line's amount is not quantity times price",
        "6140": "the document number is taken",
        "6190": "the company's subscription has ended",
        "6210": "the period is closed",
        "6240": "the name is taken",
        "6540": "the transaction lies in a bank deposit and cannot be changed",
        "10000": "QuickBooks itself failed",
    }
)
# Plain patterns instead of an XML parser: two attributes are wanted, and no document type is ever resolved.
_XML_FAULT = re.compile(rb"<Fault\b[^>]*?(?:\btype=\"([^\"]*)\")?[^>]*>(.*?)</Fault>", re.DOTALL)
_XML_CODE = re.compile(rb"<Error\b[^>]*?\bcode=\"(\d+)\"")
_XML_ITEM = re.compile(rb"<BatchItemResponse\b[^>]*?\bbId=\"([^\"]*)\"[^>]*>(.*?)</BatchItemResponse>", re.DOTALL)
_XML_RECORD = re.compile(rb"\s*<([A-Za-z]+)\b[^>]*>.*?<Id>([^<]*)</Id>", re.DOTALL)
_PLAIN = re.compile(r"\d{1,6}")


class Fault(NamedTuple):
    """The kind of fault and its codes; empty when there is none."""

    kind: str = ""
    codes: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        """Return the first code, "" without a fault."""
        return self.codes[0] if self.codes else ""

    @property
    def words(self) -> str:
        """Return the fault in plain words, never the vendor's text, which may quote what was sent."""
        return f"{NAMED.get(self.code, 'refused')} (code {self.code})" if self.code else "no reason given"


class Outcome(NamedTuple):
    """What became of one item of a batch."""

    codes: tuple[str, ...] = ()
    entity: str = ""
    id: str = ""


def read_fault(body: bytes) -> Fault:
    """Return the fault in a reply's body, an empty one when it has none."""
    if b"ault" not in body:
        return Fault()
    if body.lstrip().startswith(b"<"):
        match = _XML_FAULT.search(body)
        return Fault() if match is None else _xml(match[1] or b"", match[2])
    try:
        found = read_json(body)
    except ValueError:
        return Fault()
    return fault_of(found) if isinstance(found, dict) else Fault()


def fault_of(record: dict[str, Any]) -> Fault:
    """Return the fault in a JSON reply or batch item; keys are read in any case."""
    fault = _get(record, "fault")
    if not isinstance(fault, dict):
        return Fault()
    errors = _get(fault, "error")
    rows = errors if isinstance(errors, list) else []
    codes = tuple(code for row in rows if isinstance(row, dict) and _PLAIN.fullmatch(code := str(_get(row, "code"))))
    return Fault(str(_get(fault, "type") or ""), codes)


def batch_outcomes(body: bytes) -> dict[str, Outcome]:
    """Return item id -> outcome of a batch reply in JSON or XML."""
    if body.lstrip().startswith(b"<"):
        return {bid.decode(): _xml_outcome(item) for bid, item in _XML_ITEM.findall(body)}
    items = read_json(body).get("BatchItemResponse", [])
    return {str(item.get("bId")): _outcome(item) for item in items}


def _outcome(item: dict[str, Any]) -> Outcome:
    if (fault := fault_of(item)).codes:
        return Outcome(fault.codes)
    for name, record in item.items():
        if isinstance(record, dict) and "Id" in record:
            return Outcome((), name, str(record["Id"]))
    return Outcome()


def _xml_outcome(item: bytes) -> Outcome:
    if (match := _XML_FAULT.search(item)) is not None:
        return Outcome(_xml(match[1] or b"", match[2]).codes)
    record = _XML_RECORD.match(item)
    return Outcome() if record is None else Outcome((), record[1].decode(), record[2].decode())


def _xml(kind: bytes, errors: bytes) -> Fault:
    return Fault(kind.decode(errors="replace"), tuple(code.decode() for code in _XML_CODE.findall(errors)))


def _get(record: dict[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON value
    return next((value for key, value in record.items() if key.lower() == name), None)
