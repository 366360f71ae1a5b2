"""Dagster's runs: their batches, their processes, their endings, and when they are due."""
