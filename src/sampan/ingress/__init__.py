"""Routes by host and path straight to endpoints."""
