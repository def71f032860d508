"""Faces in pictures: detection, 478 landmarks, expression coefficients, a person matte."""
