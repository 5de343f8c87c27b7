"""The command line: parsing and printing. The only reader of arguments and environment."""
