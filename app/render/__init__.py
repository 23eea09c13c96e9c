"""What a platform would be sent for an order: planned and delivered for real, to its sandbox in this process."""
