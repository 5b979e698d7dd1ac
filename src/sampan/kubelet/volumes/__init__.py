"""Volumes of pods: what is in them (pure), how it is written, where it is mounted."""
