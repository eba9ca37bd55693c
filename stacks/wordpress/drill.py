"""What of a restored WordPress is read, besides a page that its home page leads to."""

PAGES = ("/", "/wp-login.php")
