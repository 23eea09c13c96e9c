"""What the first hour needs: a configuration to begin with, and sandbox platforms in the background."""
