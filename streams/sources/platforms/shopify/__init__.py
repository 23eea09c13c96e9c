"""Shopify's source: a folder, since it outgrew one sitting."""

from streams.sources.platforms.shopify.source import ShopifySource

SOURCE = ShopifySource
