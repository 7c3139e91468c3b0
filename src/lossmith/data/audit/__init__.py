"""What the data holds, counted while it is written, and what in it deserves a warning."""
