"""Ours and the peers side by side; run by `make bench`, never by a test."""
