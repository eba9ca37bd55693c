"""`make bench`: what the sites stage costs, measured on real hosts of its own."""
