"""The API server: one request path (`app`), the state in memory (`cacher`), the rules of writing
(`registry`), and who may do what (`authn`, `authz`, `admission`).

Kinds are not known here: their words come from `sampan.resources`, their grammar from `sampan.api`.
"""
