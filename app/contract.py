"""The public contract as documents: JSON Schema per message and an AsyncAPI 3 and an OpenAPI 3.1 document.

Generated from the msgspec models that the hot path uses, so the published schema cannot drift from the code.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from app.console.routes import openapi
from app.core import topics
from schemas.commands import Command, Result
from schemas.decisions import Decision
from schemas.events import ChangeEvent, Hint
from schemas.facts import type_names
from schemas.order_state import PublicOrder

DRAFT = "https://json-schema.org/draft/2020-12/schema"
MODELS: dict[str, Any] = {
    "change_event": ChangeEvent,
    "hint": Hint,
    "command": Command,
    "result": Result,
    "decision": Decision,
    "order_state": PublicOrder,
}
"""Message -> its model, as files are named."""
_CHANGES = "#/components/messages/"
_CRM_TYPES = ("order", "shipment", "customer")


def documents() -> dict[str, str]:
    """Return file name -> text of every generated document, the same on every run."""
    files = {f"{name}.schema.json": _text(schema(model)) for name, model in MODELS.items()}
    files["asyncapi.json"] = _text(asyncapi())
    files["openapi.json"] = _text(openapi())
    return files


def schema(model: Any) -> dict[str, Any]:  # noqa: ANN401 - msgspec takes any type
    """Return the self-contained JSON Schema (2020-12) of *model*."""
    (root,), components = msgspec.json.schema_components([model], ref_template="#/$defs/{name}")
    return {"$schema": DRAFT, **root, "$defs": components}


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def event_type(name: str) -> str:
    """Return the CloudEvents type of a change of *name*."""
    return f"o2c.{name}.changed.v1"


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of the topics that other services may write and read."""
    _, components = msgspec.json.schema_components(
        [ChangeEvent, PublicOrder, Decision], ref_template="#/components/schemas/{name}"
    )
    messages = {f"{name}Changed": _changed(name) for name in type_names}
    messages["orderState"] = {
        "name": "orderState",
        "title": "The derived state of an order; the key is the order key, a null value means forgotten",
        "contentType": "application/json",
        "payload": {"$ref": "#/components/schemas/PublicOrder"},
    }
    messages["decision"] = {
        "name": "decision",
        "title": "What a person decided about an order; the key is the order key",
        "contentType": "application/json",
        "payload": {"$ref": "#/components/schemas/Decision"},
    }
    messages["deadLetter"] = _letter()
    crm = [f"{name}Changed" for name in type_names if name in _CRM_TYPES]
    books = [f"{name}Changed" for name in type_names if name not in _CRM_TYPES]
    channels = {
        "crmChanges": _channel(topics.CRM_CHANGES, crm, "Changes of orders, shipments and customers"),
        "accountingChanges": _channel(topics.ACCOUNTING_CHANGES, books, "Changes of documents and money"),
        "decisions": _channel(topics.DECISIONS, ["decision"], "What people decided about orders"),
        "orderStates": _channel(topics.ORDER_STATES, ["orderState"], "Where every order stands (compacted)"),
        "deadLetters": _channel(topics.DEAD_LETTERS, ["deadLetter"], "What nobody could use, as it came"),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "o2c",
            "version": "1.0.0",
            "description": "Order status in step between CRM, commerce and accounting systems. CloudEvents 1.0, "
            "Kafka binding: binary mode is written, binary and structured mode are accepted. An object as a system "
            "showed it after a write of o2c is told in `events` of that write's result (topic results, "
            "result.schema.json) and not on the topics of changes; who follows every look reads all three.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            "publishCrmChange": _operation("receive", "crmChanges"),
            "publishAccountingChange": _operation("receive", "accountingChanges"),
            "publishDecision": _operation("receive", "decisions"),
            "orderStateChanged": _operation("send", "orderStates"),
            "letterPutAside": _operation("send", "deadLetters"),
        },
        "components": {"messages": messages, "schemas": _named(components)},
    }


def _letter() -> dict[str, Any]:
    said = {
        "reason": "why it was put aside, in a word or a sentence",
        "detail": "what was expected and where; never what was there instead",
        topics.ORIGIN_TOPIC: "the topic it came from; stream workers write the prefix of topics before it",
        "origin-partition": "its partition there",
        "origin-offset": "its offset there",
        "origin-timestamp": "when it was written there, in milliseconds since 1970",
        "origin": "the address of the gateway where it was delivered",
    }
    return {
        "name": "deadLetter",
        "title": "A record or a delivery that nobody could use; the key and the other headers are its own",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "required": ["reason", topics.ORIGIN_TOPIC],
            "properties": {name: {"type": "string", "description": text} for name, text in said.items()},
        },
        "payload": {"description": "The bytes as they came; null where there were none"},
    }


def _named(schema_: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a schema whose discriminators are property names, as AsyncAPI wants them: msgspec writes OpenAPI's."""
    if isinstance(schema_, dict):
        return {
            name: value["propertyName"] if name == "discriminator" and "propertyName" in value else _named(value)
            for name, value in schema_.items()
        }
    return [_named(item) for item in schema_] if isinstance(schema_, list) else schema_


def _channel(address: str, names: list[str], title: str) -> dict[str, Any]:
    return {
        "address": address,
        "title": title,
        "messages": {name: {"$ref": _CHANGES + name} for name in names},
    }


def _operation(action: str, channel: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}


def _changed(name: str) -> dict[str, Any]:
    return {
        "name": f"{name}Changed",
        "title": f"The newest complete look at one {name}",
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "required": ["ce_specversion", "ce_type", "ce_source", "ce_id", "content-type"],
            "properties": {
                "ce_specversion": {"const": "1.0"},
                "ce_type": {"const": event_type(name)},
                "ce_source": {"type": "string", "description": "/<tenant>/<connection>/<account>"},
                "ce_subject": {"type": "string", "description": "the object's id in its system"},
                "ce_id": {"type": "string", "minLength": 1, "description": "the same for every redelivery"},
                "ce_time": {"type": "string", "format": "date-time"},
                "content-type": {"const": "application/json"},
                "traceparent": {"type": "string", "description": "W3C trace context"},
            },
        },
        "payload": {"$ref": "#/components/schemas/ChangeEvent"},
    }
