"""Pure decisions of a pass: state and `now` go in, a plan of typed actions with reasons comes out.

Here lives what is installed, started, switched, ended, removed, and in which order; the registry's rows.
Not here: clocks, disks, processes; how a rollout goes on (`rollouts`); carrying anything out (`reconciler`).
"""
