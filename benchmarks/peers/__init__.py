"""Whole phonon calculations with this package and with others, side by side."""
