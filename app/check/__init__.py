"""What `o2c check` finds: the configuration against itself, then each account against the configuration."""
