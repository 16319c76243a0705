"""From stored correctness to counts: updates, what pools offer, choices on dev, rounds."""
