"""Who owns a venue: the lease, its rules and its place on NATS."""
