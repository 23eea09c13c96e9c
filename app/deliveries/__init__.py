"""Deliveries of webhooks between the gateway, which keeps them as they came, and who translates them."""
