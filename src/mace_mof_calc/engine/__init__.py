"""Exact and fast evaluation of MACE models, and linear response.

``folding`` turns a module into ``tables``; ``graph`` makes neighbour lists; ``radial`` and ``harmonics`` evaluate
edges; ``evaluate`` has the energy and its gradient, ``response`` the derivative of forces on the nodes that ``cluster``
finds. Both leave two sums to ``kernels``: ``compiled`` (the loops of ``polynomials`` and ``gathering``) or
``operations`` (PyTorch).
``engine`` puts all together for structures of ASE.
"""
