"""The nouns every room shares: images, tables, plans and contracts, digests, atomic files. Imports no other room."""
