"""What happened, out of the gateways' journals and to whoever wants to hear it."""
