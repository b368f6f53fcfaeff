"""What is wrong with a source at present: failed runs, and held, late and odd dates."""
