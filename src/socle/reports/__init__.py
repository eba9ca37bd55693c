"""What people read: the report of the audit in French, and the status on one screen."""
