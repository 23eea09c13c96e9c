"""The Shopify sandbox: a folder, since a shop outgrew one sitting."""

from app.sandbox.platforms.shopify.server import ShopifySandbox

__all__ = ["ShopifySandbox"]
