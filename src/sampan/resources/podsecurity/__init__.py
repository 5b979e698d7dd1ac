"""Pod Security Standards: what levels allow, by version (upstream: pod-security-admission).

policy.py       labels of a namespace -> levels to enforce, audit and warn about
subject.py      a pod as the checks see it
baseline.py     known ways out of a pod
restricted.py   what a hardened pod also has to say
table.py        which checks count for a level and version
"""
