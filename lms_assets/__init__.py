"""Students' attempts, from the grader's API to a table, the day's figures, a sheet and a letter."""
