"""Moving pictures, sound and stills: streaming decode and encode."""
