"""Prediction: the only preprocessing, the input contract, sliding window and export to the native grid."""
