"""The b2trader venue."""
