"""What readers open: an inventory or a listing as a dataset, and SQL over it."""
