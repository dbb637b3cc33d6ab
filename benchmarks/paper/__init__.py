"""The tables and figures of the MACE-MP-MOF0 paper, computed again with any model.

A. M. Elena, P. D. Kamath, T. Jaffrelot Inizan et al., npj Comput. Mater. 11, 125 (2025).
"""
