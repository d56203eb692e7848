"""A gateway: the venues that it owns, and what strategies ask of it."""
