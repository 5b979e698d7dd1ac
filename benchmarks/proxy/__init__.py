"""The proxy's cost by mode and size."""
