"""HubSpot simulated: one portal with CRM objects, associations, pipelines, search and thin signed webhooks."""

from app.sandbox.platforms.hubspot.server import HubspotSandbox

__all__ = ["HubspotSandbox"]
