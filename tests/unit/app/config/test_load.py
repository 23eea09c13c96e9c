from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from app.config.load import load
from app.config.model import ConnectionConfig
from app.core.errors import ConfigError
from schemas.flow import NOT_BEGUN

GOOD = """
data_dir = "state"
[[tenant]]
name = "acme"
[tenant.connections.shop]
platform = "shopify"
account = "acme.myshopify.com"
secrets = { token = "env:SHOP_TOKEN" }
[[tenant.flows]]
name = "main"
key_giver = "shop"
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "o2c.toml"
    path.write_text(text)
    return path


def test_secrets_come_from_the_environment_and_stay_out_of_repr(tmp_path: Path) -> None:
    settings = load(_write(tmp_path, GOOD), {"SHOP_TOKEN": "very-secret"})
    assert settings.connections[0].secrets == {"token": "very-secret"}
    assert "very-secret" not in repr(settings)
    assert "very-secret" not in repr(settings.connections)


def test_legacy_signatures_reach_the_connection_as_its_option(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD.replace("secrets =", "legacy_signatures = true\nsecrets ="))
    assert load(path, {"SHOP_TOKEN": "x"}).connections[0].connection.options == {"legacy_signatures": "yes"}
    assert (
        "legacy_signatures" not in load(_write(tmp_path, GOOD), {"SHOP_TOKEN": "x"}).connections[0].connection.options
    )


STRIPE = GOOD.replace('"shopify"', '"stripe"')


@pytest.mark.parametrize(
    ("text", "key", "options"),
    [
        (STRIPE, "sk_live_1", {"livemode": "true"}),
        (STRIPE, "rk_test_1", {"livemode": "false"}),
        (STRIPE, "sk_1", {}),
        (GOOD, "sk_live_1", {}),
        (GOOD.replace('"shopify"', '"nobody"'), "sk_live_1", {}),
    ],
)
def test_a_key_tells_which_world_it_opens(tmp_path: Path, text: str, key: str, options: dict[str, str]) -> None:
    assert load(_write(tmp_path, text), {"SHOP_TOKEN": key}).connections[0].connection.options == options


def test_a_key_of_the_other_world_is_told_where_it_stands(tmp_path: Path) -> None:
    path = _write(tmp_path, STRIPE.replace("secrets =", 'options = { livemode = "true" }\nsecrets ='))
    with pytest.raises(ConfigError, match=r"o2c\.toml:8: .*livemode is true, the key says false; correct one"):
        load(path, {"SHOP_TOKEN": "sk_test_1"})
    assert load(path, {"SHOP_TOKEN": "sk_live_1"}).connections[0].connection.options == {"livemode": "true"}
    path = _write(tmp_path, STRIPE.replace("secrets =", 'options = { livemode = "yes" }\nsecrets ='))
    with pytest.raises(ConfigError, match=r"o2c\.toml:8: .*livemode is yes; write true or false"):
        load(path, {"SHOP_TOKEN": "x"})


def test_a_missing_environment_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SHOP_TOKEN is not set"):
        load(_write(tmp_path, GOOD), {})


def test_every_reference_that_leads_nowhere_is_named_with_its_line(tmp_path: Path) -> None:
    text = GOOD.replace('{ token = "env:SHOP_TOKEN" }', '{ token = "env:SHOP_TOKEN", webhook_secret = "file:hook" }')
    with pytest.raises(ConfigError) as raised:
        load(_write(tmp_path, text + 'mode = "live"\n'), {})
    first, second = str(raised.value).splitlines()
    assert "o2c.toml:8: the environment variable SHOP_TOKEN is not set; set it" in first
    assert "o2c.toml:8: the secret file hook cannot be read (No such file or directory); write it" in second


def test_a_wrong_key_is_reported_with_its_line(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD.replace("key_giver", "keygiver"))
    with pytest.raises(ConfigError, match=r"o2c.toml:11: tenant.0.flows.0.keygiver: Extra inputs"):
        load(path, {"SHOP_TOKEN": "x"})


def test_a_flow_may_only_name_configured_connections(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD.replace('key_giver = "shop"', 'key_giver = "shpo"'))
    with pytest.raises(
        ConfigError, match=r"o2c.toml:11: tenant.0.flows.0.key_giver: flow main names the connection shpo, which is not"
    ):
        load(path, {"SHOP_TOKEN": "x"})


def test_one_account_has_one_connection(tmp_path: Path) -> None:
    second = GOOD.replace(
        "[[tenant.flows]]",
        '[tenant.connections.twin]\nplatform = "shopify"\naccount = "acme.myshopify.com"\n[[tenant.flows]]',
    )
    with pytest.raises(
        ConfigError, match=r"o2c.toml:11: tenant.0.connections.twin.account: .* same shopify account; remove"
    ):
        load(_write(tmp_path, second), {"SHOP_TOKEN": "x"})


def test_a_tenant_may_have_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "tenants").mkdir()
    (tmp_path / "tenants" / "beta.toml").write_text('tenant = "beta"\n')
    settings = load(_write(tmp_path, 'tenant_files = ["tenants/*.toml"]\n'), {})
    assert [tenant.tenant for tenant in settings.tenants] == ["beta"]


def test_what_is_no_toml_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"o2c.toml:3: this is not valid TOML"):
        load(_write(tmp_path, GOOD.replace("[[tenant]]", "[[tenant")), {})
    with pytest.raises(ConfigError, match=r"o2c.toml:10: this is not valid TOML"):
        load(_write(tmp_path, GOOD.replace('"main"', "main")), {})
    (tmp_path / "o2c.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "o2c.toml", {})


def test_a_missing_file_tells_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="o2c init"):
        load(tmp_path / "nothing.toml", {})


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", NOT_BEGUN),
        ('start_at = "first start"\n', NOT_BEGUN),
        ('start_at = "beginning"\n', None),
        ("start_at = 2026-03-01T09:00:00Z\n", datetime(2026, 3, 1, 9, tzinfo=UTC)),
        ('time_zone = "Asia/Kolkata"\nstart_at = 2026-03-01\n', datetime(2026, 2, 28, 18, 30, tzinfo=UTC)),
        (
            'time_zone = "Asia/Kolkata"\nstart_at = 2026-03-01T09:00:00\n',
            datetime(2026, 3, 1, 9, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        ),
    ],
)
def test_the_start_is_a_moment_in_the_zone_of_the_company(tmp_path: Path, said: str, expected: datetime | None) -> None:
    settings = load(_write(tmp_path, GOOD.replace("secrets =", f"{said}secrets =")), {"SHOP_TOKEN": "x"})
    assert settings.connections[0].start_at == expected


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('start_at = "yesterday"', r"o2c.toml:8: .*start_at"),
        ('time_zone = "Mars/Olympus"', r"o2c.toml:8: .*there is no time zone Mars/Olympus; write one as Europe/Berlin"),
    ],
)
def test_a_start_or_zone_that_is_none_is_refused(tmp_path: Path, said: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(_write(tmp_path, GOOD.replace("secrets =", f"{said}\nsecrets =")), {"SHOP_TOKEN": "x"})


BETA = 'name = "beta"\n[connections.till]\nplatform = "shopify"\naccount = "beta.myshopify.com"\n'
FLOW = '[[flows]]\nname = "till"\nkey_giver = "till"\n'


def _beside(folder: Path, text: str, main: str = GOOD) -> str:
    """Return what is said of a tenant's own file with *text*."""
    (folder / "beta.toml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(_write(folder, f'tenant_files = ["beta.toml"]\n{main}'), {"SHOP_TOKEN": "x"})
    return str(raised.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BETA.replace("beta", "BETA", 1), "beta.toml:1: name: String should match"),
        (BETA.replace("name", "tenant", 1).replace("beta", "BETA", 1), "beta.toml:1: tenant: String should match"),
        (
            BETA + FLOW.replace('giver = "till"', 'giver = "tlil"'),
            "beta.toml:7: flows.0.key_giver: flow till names the",
        ),
        (
            BETA + FLOW + '[[flows.targets]]\nconnection = "till"\n[[flows.targets]]\nconnection = "books"\n',
            "beta.toml:11: flows.0.targets.1.connection: flow till names the connection books, which is not configured; th",
        ),
        (BETA + FLOW + 'payments_from = ["pay"]\n', "beta.toml:8: flows.0.payments_from: flow till names the"),
        (BETA + FLOW + 'ranking = { note = ["nobody"] }\n', "beta.toml:8: flows.0.ranking.note: flow till names the"),
        (
            BETA + FLOW + 'ranking = { not = ["till"] }\n',
            "beta.toml:8: flows.0.ranking.not: nobody shares the field not;",
        ),
        (
            BETA.replace("till", "shop"),
            "beta.toml:2: connections.shop: the connection name shop is used by two tenants, ",
        ),
        (
            BETA + FLOW.replace("till", "main", 1),
            "beta.toml:6: flows.0.name: the flow name main is used by acme and beta",
        ),
        (BETA.replace("beta", "acme", 1), "beta.toml:1: name: the tenant acme is written down twice; "),
        (
            BETA.replace('name = "beta"', 'tenant = "acme"'),
            "beta.toml:1: tenant: the tenant acme is written down twice; ",
        ),
    ],
)
def test_what_disagrees_between_keys_is_told_where_it_stands(tmp_path: Path, text: str, said: str) -> None:
    assert _beside(tmp_path, text).startswith(said)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "[[tenant]]",
            "[tenant]",
            "o2c.toml:3: tenant: this is not what belongs here; begin each tenant with [[tenant]]",
        ),
        (
            "[[tenant]]",
            "tenant_files = 3\n[[tenant]]",
            "o2c.toml:3: tenant_files: this is not what belongs here; write it",
        ),
        (
            "[[tenant]]",
            'tenant_files = ["/x.toml"]\n[[tenant]]',
            "o2c.toml:3: tenant_files names '/x.toml', which matches",
        ),
        ("[[tenant]]", 'tenant_files = [""]\n[[tenant]]', "o2c.toml:3: tenant_files names '', which matches"),
        ('data_dir = "state"', "data_dir = 3", "o2c.toml:2: data_dir: this is no folder; write it as"),
        ('name = "acme"', 'name = "ACME"', "o2c.toml:4: tenant.0.name: String should match"),
        ('name = "acme"', 'title = "acme"', "o2c.toml:3: tenant.0.name: Field required"),
        (
            "[[tenant]]",
            '[gateway]\npublic_url = "nonsense"\n[[tenant]]',
            "o2c.toml:4: gateway.public_url: nonsense is no",
        ),
        (
            "[[tenant]]",
            '[console]\napi_keys = [\n  { name = "me", tenant = "acmee", key = "0123456789abcdef" },\n]\n[[tenant]]',
            "o2c.toml:4: console.api_keys.0.tenant: an API key of the console names the tenant acmee",
        ),
    ],
)
def test_what_is_of_the_wrong_kind_is_told_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(_write(tmp_path, GOOD.replace(old, new, 1)), {"SHOP_TOKEN": "x"})
    assert str(raised.value).startswith(f"{tmp_path}/{said}")
    assert "Value error" not in str(raised.value)


def test_a_reference_is_told_where_it_stands_not_where_a_longer_one_does(tmp_path: Path) -> None:
    twin = GOOD[GOOD.index("[tenant.connections.shop]") : GOOD.index("[[tenant.flows]]")]
    text = GOOD.replace("SHOP_TOKEN", "SHOP_TOKEN2").replace(
        "[[tenant.flows]]", f"{twin.replace('shop', 'till')}[[tenant.flows]]"
    )
    listed = '[gateway]\napi_keys = [\n  "env:GIVEN",\n  "env:SHOP_TOKEN",\n]\n[[tenant]]'
    for main, lines in ((text, [12]), (text.replace("[[tenant]]", listed), [6])):
        with pytest.raises(ConfigError) as raised:
            load(_write(tmp_path, main), {"SHOP_TOKEN2": "x", "GIVEN": "x"})
        places = [int(line.partition("toml:")[2].partition(":")[0]) for line in str(raised.value).splitlines()]
        assert places == lines


def test_every_key_of_a_connection_is_explained(root: Path) -> None:
    page = (root / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert [name for name in ConnectionConfig.model_fields if f"| `{name}` |" not in page] == []
