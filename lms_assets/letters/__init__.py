"""What people are told: from what a run came to, to the letter that was handed over."""
