"""Configurations of crystals that a model can learn from, chosen without knowing their labels."""
