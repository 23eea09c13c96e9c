"""Shopify's sink: a folder, since it outgrew one sitting."""

from sinks.platforms.shopify.sink import ShopifySink

SINK = ShopifySink
