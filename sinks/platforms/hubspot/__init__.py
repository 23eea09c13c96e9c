"""HubSpot's sink: an order is a deal or an order object, found again by our own unique property."""

from sinks.platforms.hubspot.sink import HubspotSink

__all__ = ["SINK", "HubspotSink"]

SINK = HubspotSink
