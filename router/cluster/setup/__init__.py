"""What `router gateway init` writes."""
