"""One connection to NATS, and who one is there."""
