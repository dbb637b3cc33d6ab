"""D3(BJ) dispersion as a term of its own, with its linear response."""
