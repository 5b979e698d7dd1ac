"""Who may answer for a Service: pure; proxy, DNS, Ingress, services/proxy and trace all ask
here.
"""
