"""Models: their cards, where their weights are, and how they are read without running code."""
