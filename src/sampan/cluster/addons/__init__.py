"""Add-ons are ordinary objects: their manifests, and the component that applies them."""
