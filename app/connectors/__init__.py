"""Connectors: everything that talks to a platform's API, reading and writing, one owner per connection."""
