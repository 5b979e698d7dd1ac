"""What we wish the standard library had; no Kubernetes word inside."""
