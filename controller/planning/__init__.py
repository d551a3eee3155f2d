"""Pure decisions of a pass: state and `now` go in, a plan of typed actions with reasons comes out.

Here lives one module for each step of a plan (serving, moving, retiring), which returns a `Part`; `plan.py` joins them.
Also who needs a version (`needs.py`), retention, and the registry's rows.
Not here: clocks, disks, processes; how a rollout goes on (`rollouts`); performing anything (`reconciler`).
"""
