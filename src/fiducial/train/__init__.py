"""Training: a plan made once, then followed exactly by one loop."""
