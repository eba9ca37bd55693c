"""socle: free-software hosting for associations, from request to proof."""
