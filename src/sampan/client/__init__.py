"""Talk to any conformant API server: transports, client, kubeconfig."""
