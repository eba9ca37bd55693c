"""The one host; how to reach it comes by --data."""

hosts = ["web1"]
