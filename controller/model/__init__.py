"""Frozen data that the floors above hand to each other.

Here lives a type that more than one package needs, and a value's own validity.
Not here: I/O, clocks, and every rule about several values.
"""
