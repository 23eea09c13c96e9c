"""A new flow writes nothing: whoever leaves the mode out, or starts with what `o2c init` writes, is in shadow."""

from __future__ import annotations

import re
from pathlib import Path

from app import platforms
from app.config.load import load
from app.starting.template import Start, config_for
from schemas.flow import Flow

FLOW = '[[tenant]]\nname = "acme"\n[tenant.connections.erp]\nplatform = "external"\naccount = "1"\n'


def test_a_flow_of_init_is_in_shadow(tmp_path: Path) -> None:
    roles = dict.fromkeys(("gateway", "streams", "connectors", "console"), 8080)
    start = Start(tenant="acme", bootstrap="127.0.0.1:9092", ports=roles)
    text = config_for([platforms.load(slug) for slug in ("shopify", "xero")], start)
    path = tmp_path / "o2c.toml"
    path.write_text(re.sub(r"\"(env|file):[^\"]*\"", '"made up, long enough"', text), encoding="utf-8")
    assert [flow.mode for flow in load(path, {}).flows] == ["shadow"]


def test_a_flow_without_a_mode_is_in_shadow(tmp_path: Path) -> None:
    path = tmp_path / "o2c.toml"
    path.write_text(f'data_dir = "data"\n{FLOW}[[tenant.flows]]\nname = "web"\nkey_giver = "erp"\n', encoding="utf-8")
    assert [flow.mode for flow in load(path, {}).flows] == ["shadow"]
    assert Flow(name="web", tenant="acme", key_giver="erp").mode == "shadow"
