"""Detections: from a typed request to one answer of the version that is active for the PID, counted as it ends.

Here lives what concerns a call: request, routing, queues, dispatch, and the statistics that the store keeps.
Not here: how a process is started, watched or ended (`processes`), how a version is judged (`rollouts`), HTTP.
"""
