"""Rollouts as pure rules: which version a PID is to have, how a canary goes on, and when it is rolled back.

Here lives the state machine with its table, the view of one deployment, resolution of packages, and `analysis/`.
Not here: clocks, disks, processes, JSON, and actions (`planning` turns what is wanted into actions).
"""
