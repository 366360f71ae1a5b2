"""The spreadsheet that people read: its tabs, and Google's service."""
