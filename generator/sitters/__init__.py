"""Sitters: rendered virtual adults with exact ground truth."""
