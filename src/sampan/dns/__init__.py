"""The cluster DNS: Corefile, chain of plugins, derived fast path."""
