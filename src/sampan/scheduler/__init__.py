"""Filters and scores as plugins; one decision per pod."""
