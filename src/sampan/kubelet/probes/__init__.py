"""Asking containers how they are: the four ways to ask, and the bookkeeping of answers."""
