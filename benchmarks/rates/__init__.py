"""What the benchmarks of gateway, delivery and the whole way share."""
