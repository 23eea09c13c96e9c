import hashlib
import hmac
from datetime import UTC, datetime

from app.gateway.addresses import secrets_of
from app.gateway.intake import turned_away
from streams.sources.base import Hook
from tests.made_up_deliveries import SECRET, served

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _signed(body: bytes, secret: str = SECRET) -> Hook:
    stamp = str(int(NOW.timestamp()))
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return Hook(body=body, headers={"stripe-signature": f"t={stamp},v1={digest}"})


def test_a_wrong_signature_is_refused() -> None:
    away = turned_away(served()["acme", "pay"], _signed(b"{}", "whsec_wrong"), NOW)
    assert away is not None
    assert (away.outcome, away.reply.status) == ("refused", 400)


def test_what_is_rightly_signed_is_kept_whatever_it_says() -> None:
    assert turned_away(served()["acme", "pay"], _signed(b"not json"), NOW) is None


def test_the_previous_secret_still_verifies_during_rotation() -> None:
    both = {"webhook_secret": "new", "webhook_secret_previous": "old"}
    assert secrets_of(both, "webhook_secret") == ("new", "old")
    address = served(both)["acme", "pay"]
    assert [turned_away(address, _signed(b"{}", secret), NOW) for secret in ("new", "old")] == [None, None]
