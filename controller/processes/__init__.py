"""Algorithm processes: started under a shim, proven, supervised, found again, ended.

Here lives what concerns one process or all of a store, from pipes and call lock up to the supervisor of a pool.
Not here: what a call says, which version answers a PID, queues and counts (`calls`), what is to run (`planning`).
"""
