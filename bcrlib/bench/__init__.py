"""Speed, as ratios that carry over to other machines."""
