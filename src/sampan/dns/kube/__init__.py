"""What DNS needs of Kubernetes: compact objects, the half that watches, the model that answers."""
