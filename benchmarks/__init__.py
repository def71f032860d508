"""Figures: one script each, ratios measured side by side in one run."""
