"""Pure decisions: what a pass does, to which PIDs, and why. State and `now` go in, a plan of data comes out."""
