"""Models that compare images with texts, by the classes of open_clip."""
