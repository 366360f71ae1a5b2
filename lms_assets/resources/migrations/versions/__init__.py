"""The schema's history, a module per step; applied by the warehouse at start."""
