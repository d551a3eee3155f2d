"""Algorithm processes: started under a shim, proven, supervised, found again, ended.

Here lives what concerns one process or all of a store, down to the pipes and the call lock.
Not here: which version answers a PID, queues of callers, counts of calls (`calls`), what is to run (`planning`).
"""
