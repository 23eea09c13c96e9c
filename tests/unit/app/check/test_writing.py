"""Accepted lines are put into the file as a careful person would: comments, layout and line ends stay."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from app.check.lines import Line
from app.check.writing import write
from app.config.load import load
from app.core.errors import ConfigError

TEXT = """\
# Written by init.
key = "k"   # any long random text

[[tenant]]
name = "acme"

# Shop: what it is
[tenant.connections.shop]
platform = "shopify"
account = "..."              # tells whose it is
secrets = { token = "t" }
# sweep_seconds = 600

# Books: what they are
[tenant.connections.books]
platform = "xero"
account = "o1"
accounts = { sales = "1" } # chart
# options:
#   since: first day

[tenant.connections.qbo]
platform = "quickbooks_online"
account = "o2"
accounts.sales = "9"   # dotted
time_zone = "UTC"

[tenant.connections.qbo.taxes]
"20" = "A"  # twenty
# after

[[tenant.flows]]
name = "orders"
key_giver = "shop"
"""


def _line(connection: str, key: str, tenant: str = "acme") -> Line:
    return Line(tenant=tenant, connection=connection, platform="X", key=key)


def _written(folder: Path, text: str, accepted: Mapping[Line, str]) -> tuple[list[str], list[str]]:
    """Return the lines that went and the lines that came."""
    path = folder / "o2c.toml"
    path.write_bytes(text.encode())
    assert write(path, {}, accepted) == [path]
    before, after = text.splitlines(), path.read_bytes().decode().splitlines()
    assert [line for line in before if line in after] == [line for line in after if line in before], "the order stays"
    return [line for line in before if line not in after], [line for line in after if line not in before]


@pytest.mark.parametrize(
    ("connection", "key", "gone", "came", "behind"),
    [
        ("shop", "account", ['account = "..."              # tells whose it is'], 'account = "v"              # tells whose it is', 'platform = "shopify"'),
        ("shop", "base_url", [], 'base_url = "v"', 'secrets = { token = "t" }'),
        ("shop", "statuses.Awaiting it", [], 'statuses = { "Awaiting it" = "v" }', 'secrets = { token = "t" }'),
        ("books", "accounts.sales", ['accounts = { sales = "1" } # chart'], 'accounts = { sales = "v" } # chart', 'account = "o1"'),
        ("books", "accounts.payments", ['accounts = { sales = "1" } # chart'], 'accounts = { sales = "1", payments = "v" } # chart', 'account = "o1"'),
        ("books", "taxes.5.5", [], 'taxes = { "5.5" = "v" }', 'accounts = { sales = "1" } # chart'),
        ("qbo", "accounts.payments", [], 'accounts.payments = "v"', 'accounts.sales = "9"   # dotted'),
        ("qbo", "stages.paid", [], 'stages = { paid = "v" }', 'time_zone = "UTC"'),
        ("qbo", "taxes.20", ['"20" = "A"  # twenty'], '"20" = "v"  # twenty', "[tenant.connections.qbo.taxes]"),
        ("qbo", "taxes.reduced", [], 'reduced = "v"', '"20" = "A"  # twenty'),
    ],
)  # fmt: skip
def test_a_line_goes_where_a_person_would_put_it(
    tmp_path: Path, connection: str, key: str, gone: list[str], came: str, behind: str
) -> None:
    assert _written(tmp_path, TEXT, {_line(connection, key): "v"}) == (gone, [came])
    lines = (tmp_path / "o2c.toml").read_text().splitlines()
    assert lines[lines.index(came) - 1] == behind


def test_several_lines_of_several_files_are_written_at_once(tmp_path: Path) -> None:
    path, other = tmp_path / "o2c.toml", tmp_path / "beta.toml"
    path.write_text('tenant_files = ["beta.toml"]\n' + TEXT)
    other.write_text('tenant = "beta"\n[connections.last]\nplatform = "hubspot"\n# end\n')
    other.chmod(0o640)
    accepted = {
        _line("shop", "account"): "a",
        _line("last", "account", "beta"): "7",
        _line("last", "stages.paid", "beta"): "p",
    }
    assert write(path, {}, accepted) == [path, other]
    assert other.read_text().splitlines()[2:] == [
        'platform = "hubspot"',
        'account = "7"',
        'stages = { paid = "p" }',
        "# end",
    ]
    assert other.stat().st_mode & 0o777 == 0o640
    assert sorted(file.name for file in tmp_path.iterdir()) == ["beta.toml", "o2c.toml"]


def test_windows_line_ends_stay(tmp_path: Path) -> None:
    _written(tmp_path, TEXT.replace("\n", "\r\n"), {_line("books", "taxes.20"): "v", _line("qbo", "taxes.5"): "w"})
    after = (tmp_path / "o2c.toml").read_bytes()
    assert after.count(b"\r\n") == after.count(b"\n") == TEXT.count("\n") + 2


def test_a_file_that_could_not_be_loaded_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "o2c.toml"
    path.write_text(TEXT)
    for key, value, said in (("time", "v", "Extra inputs"), ("account", "o1", "are the same")):
        line = _line("qbo", key)
        text = TEXT.replace('"quickbooks_online"', '"xero"')
        path.write_text(text)
        with pytest.raises(ConfigError, match=said):
            write(path, {}, {line: value})
        assert path.read_text() == text
    assert [file.name for file in tmp_path.iterdir()] == ["o2c.toml"]


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "etc"
    real.mkdir()
    (real / "o2c.toml").write_text(TEXT)
    path = tmp_path / "o2c.toml"
    path.symlink_to(real / "o2c.toml")
    write(path, {}, {_line("shop", "account"): "acme"})
    assert path.is_symlink()
    assert load(path, {}).tenants[0].connections["shop"].account == "acme"
