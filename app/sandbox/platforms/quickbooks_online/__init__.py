"""QuickBooks Online as a stateful server."""

from app.sandbox.platforms.quickbooks_online.sales import Settings
from app.sandbox.platforms.quickbooks_online.server import QuickbooksOnlineSandbox

__all__ = ["QuickbooksOnlineSandbox", "Settings"]
