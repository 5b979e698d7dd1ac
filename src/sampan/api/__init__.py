"""The grammar of the Kubernetes API, as pure data and pure functions."""
