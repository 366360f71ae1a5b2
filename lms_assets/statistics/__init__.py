"""From the table to the sheet and the page."""
