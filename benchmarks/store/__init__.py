"""The store alone: durable writes, the cost of a write among many, watch latency."""
