"""The read model of orders and the HTTP API over it."""
