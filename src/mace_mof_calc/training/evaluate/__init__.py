"""Errors of a model on labelled frames, and in phonons."""
