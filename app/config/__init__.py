"""Configuration: one TOML file plus one per tenant, read once and passed down as a frozen value."""
