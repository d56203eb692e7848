"""How fast it is: every figure a ratio to something else that was measured in the same run. README.md says how to run them."""
