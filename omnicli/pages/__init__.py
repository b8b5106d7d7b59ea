"""What a page for people is made of: counts, thumbnails, plots."""
