"""Training with curvature in the loss: Hessians at minima, beside forces."""
