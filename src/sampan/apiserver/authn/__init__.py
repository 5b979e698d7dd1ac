"""Who is asking: client certificates, bearer tokens (static, ServiceAccount, bootstrap), anonymous,
and whom the asker stands for (impersonation).

Each source answers with a `User`, with None (not my kind of credential), or refuses.
"""
