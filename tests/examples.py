"""The example configurations, and values for what they take from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "examples"
SECRETS: Mapping[str, str] = MappingProxyType(
    {
        "O2C_KEY": "made-up-key-for-tests",
        "SHOPIFY_CLIENT_ID": "made-up",
        "SHOPIFY_CLIENT_SECRET": "shpss_sandbox",
        "HUBSPOT_TOKEN": "pat-made-up",
        "HUBSPOT_CLIENT_SECRET": "made-up",
        "STRIPE_KEY": "sk_test_made_up",
        "STRIPE_WEBHOOK_SECRET": "whsec_made_up",
        "XERO_CLIENT_ID": "sandbox-client",
        "XERO_CLIENT_SECRET": "sandbox-secret",
        "XERO_WEBHOOK_KEY": "made-up",
        "QUICKBOOKS_CLIENT_ID": "sandbox-client",
        "QUICKBOOKS_CLIENT_SECRET": "sandbox-secret",
        "QUICKBOOKS_VERIFIER": "made-up",
    }
)


def files() -> list[Path]:
    """Return the example configurations."""
    return sorted(FOLDER.glob("*.toml"))
