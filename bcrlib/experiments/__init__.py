"""From stored correctness to counts: updates, choices on dev, rounds, diversity."""
