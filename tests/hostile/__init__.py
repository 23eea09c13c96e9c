"""Hostile input against the gateway, the parsers and the topics: see docs/hostile-input.md."""
