"""A packet walker per rule language; tests and trace both use it."""
