"""A secret that a platform shows once goes into the empty file that waits for it, and nowhere else."""

from __future__ import annotations

from pathlib import Path

from app.config.secret_files import fill

TEXT = """\
tenant_files = ["beta.toml"]
[[tenant]]
name = "acme"
[tenant.connections.pay]
platform = "stripe"
secrets = { token = "t", webhook_secret = "file:secrets/pay" }
[tenant.connections.shop]
platform = "shopify"
secrets = { webhook_secret = "env:HOOK" }
"""


def test_an_empty_file_that_is_named_for_it_is_filled_once(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    file, other = tmp_path / "secrets" / "pay", tmp_path / "theirs"
    config = tmp_path / "o2c.toml"
    config.write_text(TEXT)
    (tmp_path / "beta.toml").write_text(
        'tenant = "beta"\n[connections.till]\nplatform = "stripe"\nsecrets = { webhook_secret = "file:theirs" }\n'
    )
    assert fill(config, "pay", "webhook_secret", "whsec_1") is None, "there is no file yet"
    file.touch(0o600)
    other.touch()
    assert fill(config, "pay", "webhook_secret", "whsec_1") == file
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("whsec_1\n", 0o600)
    assert fill(config, "pay", "webhook_secret", "whsec_2") is None
    assert file.read_text() == "whsec_1\n"
    assert fill(config, "till", "webhook_secret", "whsec_3") == other
    assert fill(config, "shop", "webhook_secret", "x") is None
    assert fill(config, "nobody", "webhook_secret", "x") is None
