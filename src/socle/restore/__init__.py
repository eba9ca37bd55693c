"""Bringing sites back: in their place, into an archive, or beside the live one on a host that reaches nothing."""
