"""From scores to structures: best and k-best trees, beam search, samplers; brute force beside them as their twin."""
