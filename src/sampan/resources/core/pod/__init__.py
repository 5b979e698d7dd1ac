"""The Pod: its template (which workloads share), its spec part by part, its updates and its table.

template.py     what workloads use: defaults, rules and warnings of a pod template
defaults.py     what the server fills in
spec.py         the rules of a spec as a whole, in upstream's order; the parts are
                containers, env, mounts, probes, requirements, security, scheduling, network,
                volumes and volume_sources
update.py       what may change in a pod that exists
status.py       the rules of status
phase.py        READY, STATUS and RESTARTS of the table
resource.py     all of it as a `Resource`
"""
