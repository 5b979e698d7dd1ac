"""One folder per data plane; they do not know each other."""
