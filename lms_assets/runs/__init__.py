"""Dagster's runs: how they belong together, the processes they live in, when they are due."""
