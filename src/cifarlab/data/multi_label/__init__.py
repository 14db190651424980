"""Images with several labels each: what their cells hold, how they are loaded."""
