"""Everything with gradients: recipes, sampling, the objective (Eq. 1), the loop, resumable runs."""
