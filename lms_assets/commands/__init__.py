"""The command `lms`: each of its commands is a few lines that call the other rooms."""
