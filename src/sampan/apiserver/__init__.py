"""The API server: a request path that can be read in order."""
