"""Exact and fast evaluation of MACE models, and linear response.

``folding`` turns a module into ``tables``, ``graph`` makes neighbour lists, ``radial`` and ``harmonics`` evaluate
edges, ``kernels`` has the compiled loops, ``evaluate`` the energy and its gradient, ``response`` the derivative of
forces, and ``engine`` puts them together for structures of ASE.
"""
