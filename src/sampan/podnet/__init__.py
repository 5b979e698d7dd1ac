"""The pod network: plan from Nodes to links, routes and forwarding entries."""
