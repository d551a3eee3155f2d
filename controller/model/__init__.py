"""Frozen data that the floors above hand to each other. No I/O, no clock, no rules beyond a value's own validity."""
