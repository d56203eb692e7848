"""One folder per venue; folders never import each other."""
