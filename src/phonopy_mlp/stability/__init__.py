"""Imaginary modes: found, removed where they can be, and stated where not."""
