"""Tells the way of a packet, a name, an object."""
