"""The proof by kill -9: a Router in a process that is killed at random points, and a checker of what it and its heirs said."""
