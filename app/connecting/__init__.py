"""How a connection gets its first credential, and how every connection stands."""
