"""Whether a structure is inside what a model was trained on."""
