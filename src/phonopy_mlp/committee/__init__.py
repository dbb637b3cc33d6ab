"""What several models say of one crystal, each at its own minimum, and how far they are apart."""
