"""The pytest plugin and public fakes."""
