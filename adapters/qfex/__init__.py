"""The qfex venue."""
