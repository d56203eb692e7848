"""The soak: strategies against three venues that break on a seed, and a checker that compares reports with the books."""
