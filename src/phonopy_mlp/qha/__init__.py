"""Quasi-harmonic approximation: free energies over volumes and lattices, and the expansion that follows from them."""
