"""The phantom hospital and the phantom vendor: scans and tables whose truth is known."""
