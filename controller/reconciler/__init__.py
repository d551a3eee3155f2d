"""observe → plan → apply → report, and the loop that repeats it. Coordinates the floors below; holds no rule itself."""
