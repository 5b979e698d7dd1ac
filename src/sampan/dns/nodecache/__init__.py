"""A cache on every node, at an address that all nodes share: queries of pods never leave the node
while the answer is at hand, never pass connection tracking, and outlive the cluster DNS.
"""
