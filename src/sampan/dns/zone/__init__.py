"""Zones as data: what *file*, *auto* and *secondary* answer from, and how an answer is found."""
