"""Backups as the controller sees them: what is expected, what the vault shows, and what that proves."""
