"""Speed: what is measured and where (grid), by whom (contestants, yardsticks), how (timing), and how fast is enough."""
