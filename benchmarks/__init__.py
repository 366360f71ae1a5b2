"""How fast and how small: measured against peers and the physical limit, as ratios of one run."""
