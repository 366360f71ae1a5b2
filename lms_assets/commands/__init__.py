"""What a person types: `lms` and its verbs, each a few lines over the other rooms."""
