"""What is wrong with a configuration before anybody is asked: each with its line and the next step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.check.configuration import check_configuration
from app.check.problems import Places, Problem
from app.cli import main
from app.config.load import load
from app.platforms import load as load_platform

GOOD = """\
key = "any long random text"
[[tenant]]
name = "acme"
[tenant.connections.shop]
platform = "shopify"
account = "acme.myshopify.com"
secrets = { token = "t", webhook_secret = "w" }
[tenant.connections.books]
platform = "xero"
account = "org-1"
secrets = { client_id = "i", client_secret = "s", refresh_token = "r", webhook_secret = "w" }
accounts = { sales = "200", payments = "090", rounding = "860" }
taxes = { "20" = "OUTPUT" }
[[tenant.flows]]
name = "orders"
key_giver = "shop"
[[tenant.flows.targets]]
connection = "books"
document = "invoice"
"""


_NOTHING = "payments = false\ncredits = false\nshipments = false"


def _problems(folder: Path, text: str) -> list[Problem]:
    path = folder / "o2c.toml"
    path.write_text(text)
    return check_configuration(load(path, {}), Places(path))


def test_a_good_configuration_has_no_problem(tmp_path: Path) -> None:
    assert _problems(tmp_path, GOOD) == []


def test_a_system_that_sells_may_get_notes_alone(tmp_path: Path) -> None:
    text = f'{GOOD}[[tenant.flows.targets]]\nconnection = "shop"\nstatus = false\n{_NOTHING}\n'
    assert _problems(tmp_path, text) == []


def test_the_documents_of_a_ledger_may_be_the_orders_where_the_flow_says_so(tmp_path: Path) -> None:
    text = GOOD.replace('key_giver = "shop"', 'key_giver = "books"\norder_type = "invoice"')
    assert _problems(tmp_path, text) == []


def test_quotes_are_orders_where_the_connection_reads_them(tmp_path: Path) -> None:
    for giver in ('key_giver = "books"', 'key_giver = "books"\norder_type = "quote"'):
        text = GOOD.replace('key_giver = "shop"', giver)
        assert [problem.code for problem in _problems(tmp_path, text)] == ["no_orders"]
        read = text.replace('account = "org-1"', 'account = "org-1"\noptions = { quotes = "orders" }')
        assert _problems(tmp_path, read) == []


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "said"),
    [
        ('platform = "xero"', 'platform = "xerro"', "unknown_platform", 9, "there are external"),
        ('key = "any long random text"', 'data_dir = "d"', "no_key", 1, "o2c init"),
        ('client_id = "i", ', "", "no_secret", 11, "client_id"),
        ('token = "t", webhook_secret = "w"', 'token = "t"', "no_hook_secret", 7, "refuses every webhook"),
        ('account = "acme.myshopify.com"', 'account = "a"\noptions = { hold = "yes" }', "unknown_option", 7, "'hold'"),
        ('account = "org-1"', 'account = "o"\nstatuses = { "PAID" = "payed" }', "unknown_word", 11, "'payed'"),
        ('account = "org-1"', 'account = "o"\nstages = { payed = "x" }', "unknown_word", 11, "'payed'"),
        ('key_giver = "shop"', 'key_giver = "books"', "no_orders", 16, "has no orders"),
        ('key_giver = "shop"', 'key_giver = "shop"\norder_type = "deals"', "no_orders", 17, "'deals'"),
        ('document = "invoice"', 'document = "sales_receipt"', "unsupported", 19, "cannot upsert sales receipt"),
        ('document = "invoice"', 'document = "payment_request"', "not_allowed", 19, "add 'request_payment' to allow"),
        ('document = "invoice"', 'document = "invoice"\norder = true', "unsupported", 20, "cannot upsert order"),
        ('document = "invoice"', 'document = "invoice"\nallow = ["pay"]', "unsupported", 20, "'pay'"),
        ('document = "invoice"', 'document = "invoice"\nwhen = ["opened"]', "unknown_word", 20, "'opened'"),
        ('document = "invoice"', 'document = "invoice"\nwhen = ["stage:crm:won"]', "unknown_word", 20, "stage:crm:won"),
        ('document = "invoice"', 'document = "invoice"\nfields = ["colour"]', "unknown_field", 20, "'colour'"),
        (', rounding = "860"', "", "default_mapping", 12, "accounts.rounding"),
        ('document = "invoice"', _NOTHING, "idle_target", 18, "Nothing is ever written to books"),
        ('taxes = { "20" = "OUTPUT" }', "", "default_mapping", 8, "without taxes"),
    ],
)
def test_each_mistake_is_told_once_with_its_line(
    tmp_path: Path, old: str, new: str, code: str, line: int, said: str
) -> None:
    assert GOOD.count(old) == 1
    (problem,) = _problems(tmp_path, GOOD.replace(old, new))
    assert (problem.code, problem.where) == (code, f"{tmp_path / 'o2c.toml'}:{line}")
    assert said in problem.message
    assert "; " in problem.message
    assert problem.message.endswith(".")


def test_what_connect_may_have_stored_is_not_asked_of_the_configuration(tmp_path: Path) -> None:
    crm = '[tenant.connections.crm]\nplatform = "hubspot"\naccount = "1"\n'
    own = 'secrets = { client_id = "i", client_secret = "s", webhook_secret = "w" }\n'
    assert _problems(tmp_path, GOOD.replace("[[tenant.flows]]", crm + own + "[[tenant.flows]]")) == []
    empty = 'secrets = { token = "", webhook_secret = "w" }\n'
    assert _problems(tmp_path, GOOD.replace("[[tenant.flows]]", crm + empty + "[[tenant.flows]]")) == []
    assert _problems(tmp_path, GOOD.replace(', refresh_token = "r"', "")) == []


def test_an_app_that_stands_for_itself_needs_its_secret(tmp_path: Path) -> None:
    books = '[tenant.connections.more]\nplatform = "xero"\naccount = "org-2"\n{}secrets = {{ client_id = "i", webhook_secret = "w" }}\n'
    alone = books.format('options = { grant = "client_credentials" }\n')
    assert _problems(tmp_path, GOOD.replace("[[tenant.flows]]", books.format("") + "[[tenant.flows]]")) == []
    (problem,) = _problems(tmp_path, GOOD.replace("[[tenant.flows]]", alone + "[[tenant.flows]]"))
    assert (problem.code, "client_secret" in problem.message) == ("no_secret", True)


SHOP = """[tenant.connections.more]
platform = "shopify"
account = "b.myshopify.com"
options = { grant = "consent" }
secrets = { client_id = "i", client_secret = "s", webhook_secret = "w" }
"""


def _with(shop: str) -> str:
    return GOOD.replace("[[tenant.flows]]", shop + "[[tenant.flows]]")


@pytest.mark.parametrize("grant", ["consent", "client_credentials", ""])
def test_a_shop_is_connected_by_what_its_grant_says(tmp_path: Path, grant: str) -> None:
    assert _problems(tmp_path, _with(SHOP.replace("consent", grant))) == []


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "said"),
    [
        ('client_secret = "s", ', "", "no_secret", 18, "client_secret"),
        ('"consent"', '"code"', "unknown_grant", 17, "use one of client_credentials, consent."),
        ('client_id = "i", client_secret = "s"', 'token = "t"', "two_grants", 17, "remove one of them."),
        ('"b.myshopify.com"', '"b"', "wrong_account", 16, "write it as NAME.myshopify.com."),
        ('"b.myshopify.com"', '"b.myshopify.com.evil.example"', "wrong_account", 16, "no account for more"),
    ],
)
def test_what_leaves_open_how_a_shop_is_connected_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, code: str, line: int, said: str
) -> None:
    assert SHOP.count(old) == 1
    (problem,) = _problems(tmp_path, _with(SHOP.replace(old, new)))
    assert (problem.code, problem.where.rpartition(":")[2]) == (code, str(line))
    assert said in problem.message


def _crm(secrets: str, journal: str) -> str:
    crm = f'[tenant.connections.crm]\nplatform = "hubspot"\naccount = "1"\nsecrets = {{ {secrets} }}\n'
    return GOOD.replace("[[tenant.flows]]", f'{crm}options = {{ journal = "{journal}" }}\n[[tenant.flows]]')


def test_who_follows_a_journal_needs_an_app_and_no_secret_of_webhooks(tmp_path: Path) -> None:
    assert _problems(tmp_path, _crm('token = "t", client_id = "i", client_secret = "s"', "yes")) == []
    found = _problems(tmp_path, _crm('token = "t", client_id = "i"', "app"))
    assert [(one.code, one.severity) for one in found] == [("no_secret", "error")]
    assert "crm has no secret client_secret, without which HubSpot shows no journal" in found[0].message


def test_a_journal_that_nobody_follows_is_told(tmp_path: Path) -> None:
    (found,) = _problems(tmp_path, _crm('token = "t", webhook_secret = "w"', "true"))
    assert (found.code, "use one of app, yes, or none" in found.message) == ("unknown_journal", True)


def test_an_account_may_not_have_connections_of_two_tenants(tmp_path: Path) -> None:
    other = '[[tenant]]\nname = "beta"\n[tenant.connections.other]\nplatform = "xero"\naccount = "org-1"\n'
    secrets = 'secrets = { token = "t", webhook_secret = "w" }\n'
    (problem,) = _problems(tmp_path, GOOD + other + secrets)
    assert (problem.code, problem.where.rpartition(":")[2]) == ("same_account", "24")


def test_a_tenant_in_a_file_of_its_own_is_found_there(tmp_path: Path) -> None:
    _, _, tenant = GOOD.partition("[[tenant]]\n")
    own = tenant.replace("[tenant.", "[").replace("[[tenant.", "[[").replace('"xero"', '"xerro"')
    (tmp_path / "acme.toml").write_text(own.replace('name = "acme"', 'tenant = "acme"', 1))
    (problem,) = _problems(tmp_path, 'key = "k"\ntenant_files = ["acme.toml"]\n')
    assert problem.where == f"{tmp_path / 'acme.toml'}:7"


def _checked(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = main(["check", "--offline", "--json", "--config", str(path)])
    return code, json.loads(capsys.readouterr().out)


def test_the_exit_code_tells_a_wrong_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "o2c.toml"
    path.write_text(GOOD)
    code, printed = _checked(path, capsys)
    assert set(printed.pop("gaps")) == {"shopify", "xero"}
    assert (code, printed) == (0, {"accounts": [], "problems": [], "lines": [], "written": {}})
    path.write_text(GOOD.replace(', rounding = "860"', ""))
    code, printed = _checked(path, capsys)
    assert (code, [problem["severity"] for problem in printed["problems"]]) == (0, ["warning"])
    path.write_text(GOOD.replace('"xero"', '"xerro"'))
    assert _checked(path, capsys)[0] == 2


def test_what_a_platform_cannot_do_is_told_once_for_all_its_connections(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "o2c.toml"
    shop, books = GOOD.index("[tenant.connections.shop]"), GOOD.index("[tenant.connections.books]")
    second = GOOD[shop:books].replace("shop]", "other]").replace("acme.my", "other.my")
    path.write_text(GOOD[:books] + second + GOOD[books:])
    gaps = _checked(path, capsys)[1]["gaps"]
    assert gaps == {slug: list(load_platform(slug).platform.gaps) for slug in ("shopify", "xero")}
    assert main(["check", "--offline", "--config", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "What is left to a person in Shopify:"
    assert [line.strip() for line in lines if line.startswith("  ")] == [*gaps["shopify"], *gaps["xero"]]


def test_problems_are_told_in_the_order_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "o2c.toml"
    path.write_text(
        GOOD.replace('"xero"', '"xerro"').replace('key_giver = "shop"', 'key_giver = "shop"\norder_type = "x"')
    )
    _, printed = _checked(path, capsys)
    assert [problem["where"].rpartition(":")[2] for problem in printed["problems"]] == ["9", "17"]
    assert main(["check", "--offline", "--config", str(path)]) == 2
    assert capsys.readouterr().out.splitlines()[-1] == "errors: 2, warnings: 0"


def test_what_cannot_be_loaded_is_a_problem_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "o2c.toml"
    path.write_text(GOOD.replace("key_giver", "keygiver").replace("document", "dokument"))
    code, printed = _checked(path, capsys)
    assert code == 2
    assert [problem["where"].rpartition(":")[2] for problem in printed["problems"]] == ["14", "16", "19"]
    assert main(["check", "--config", str(tmp_path / "none.toml")]) == 2
    assert "o2c init" in capsys.readouterr().out
