"""Classification: which class an image, or a region of it, belongs to."""
