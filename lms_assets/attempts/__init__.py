"""From the API to the table."""
