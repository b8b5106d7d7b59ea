"""Everything with gradients: recipes, sampling, the objective (OmniSource Eq. 1), the loop, resumable runs."""
