"""Delivery: what happens between a command and its result."""
