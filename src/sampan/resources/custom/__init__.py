"""Custom resources: what a definition's schema does to objects. Pure; the API server serves them.

prune.py       drop what the schema does not know
defaulting.py  fill in what it gives
checks.py      types, bounds, patterns, enums, compositions: upstream's words
formats.py     date-time, ipv4, uuid, ...
listtypes.py   x-kubernetes-list-type set and map
validations.py x-kubernetes-validations
celtypes.py    values and types of CEL by schema
published.py   the schema as OpenAPI shows it
versions.py    a definition → one `CustomVersion` (Resource, decoder, schema) per served version
"""
