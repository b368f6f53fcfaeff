"""What is believed of a page and of a range: checks, evidence, seams, order."""
