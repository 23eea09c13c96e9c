"""The very first writes of a portal race for the property that carries our mark."""

from __future__ import annotations

from app.core.talk import Response
from schemas.connection import Connection
from sinks.platforms.hubspot import SINK
from tests.platforms.conversation import answer

CONNECTION = Connection(name="crm", tenant="acme", platform="hubspot", account="1")
REFUSED = Response(status=400, body=b'{"status":"error","category":"VALIDATION_ERROR","message":"no such property"}')
MADE = Response(status=200, body=b'{"name":"o2c_mark"}')
NOBODY = Response(status=404, body=b'{"status":"error","category":"OBJECT_NOT_FOUND","message":"x"}')


def test_a_property_that_appears_between_two_questions_is_no_refusal() -> None:
    requests, found = answer(SINK(CONNECTION).find("deals", "o2c1:x", "o2c_mark"), REFUSED, MADE, NOBODY)
    assert found is None
    assert [request.path.rsplit("/", 1)[0] for request in requests][::2] == ["/crm/v3/objects/deals"] * 2
