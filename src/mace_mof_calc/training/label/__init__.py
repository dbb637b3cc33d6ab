"""Labels of frames: energy, forces and stress by a calculator, or by VASP."""
