"""The dmex venue."""
