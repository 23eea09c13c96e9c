"""The webhook receiver: verifies, translates and publishes; answers 2xx only after Kafka acknowledged."""
