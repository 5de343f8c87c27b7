"""From a table of features and outcomes to a signature: everything that is learned is learned inside training folds."""
