"""Webhook subscriptions: what is registered at each platform against what its source wants."""
