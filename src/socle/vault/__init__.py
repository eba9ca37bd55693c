"""The vault's side of backups: talking to it, and the agent that works there."""
