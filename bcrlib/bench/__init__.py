"""Speed: what is measured (grid), of whom (contestants), how and how fast is enough (timing); `bcr bench` (measure)."""
