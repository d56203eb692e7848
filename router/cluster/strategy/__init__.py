"""A strategy's side: the Router that has no keys."""
