"""Letters and short messages: from a run's outcome to the letter that the channel accepted."""
