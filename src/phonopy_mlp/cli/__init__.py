"""Command line of phonopy-mlp."""
