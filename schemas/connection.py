"""One configured account of a platform, as sources and sinks see it (no secrets)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """Identity, address and mappings of one connection."""

    name: str
    tenant: str
    platform: str
    account: str
    base_url: str = ""
    options: Mapping[str, str] = _NOTHING
    """Platform options of the config section, for example {"order_object": "deals", "pipeline": "default"}."""
    statuses: Mapping[str, str] = _NOTHING
    """Platform word -> canonical word, on top of the platform's own table."""
    stages: Mapping[str, str] = _NOTHING
    """Canonical word -> platform word to write, on top of the platform's own table."""
    accounts: Mapping[str, str] = _NOTHING
    """Ledger accounts by use: sales, shipping, discount, rounding, fees, payments, refunds, clearing."""
    taxes: Mapping[str, str] = _NOTHING
    """Tax rate in percent as text ("19", "0") or category -> the ledger's tax code."""
    time_zone: str = "UTC"
