"""A pass: observe → plan → note → launch → conclude; the revision in force, and the loop that repeats passes.

Here lives the coordination of the floors below and the ports that it needs from them; it holds no rule itself.
A command reaches a pass between two passes (`Loop.between_passes`) or through the store's records, in no other way.
Not here: operators' commands and queries (`station`), decisions (`planning`, `rollouts`), calls.
"""
