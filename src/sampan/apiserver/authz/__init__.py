"""Who may do what: the superusers' group, the Node authorizer, RBAC, in this order.

Each answers yes, or leaves the question to the next; nobody said yes means no. Decisions are pure
look-ups in indexes that follow the stored roles and bindings.
"""
