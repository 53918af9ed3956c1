"""The optimizer's settings in all programs of the throughput benchmark; a file of its own, as imports take time."""

RATE, MOMENTUM = 0.01, 0.9
