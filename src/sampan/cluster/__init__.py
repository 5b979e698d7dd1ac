"""Composition only: builds components from configuration and the real kernel."""
