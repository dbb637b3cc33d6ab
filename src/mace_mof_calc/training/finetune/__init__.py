"""Training of a model on one's own labelled frames, from a foundation model or from nothing."""
