"""The shim: the parent of one algorithm process, a script that outlives the controller.

Here lives only code that runs in the shim itself: standard library, no import of this product, started by path.
Not here: the controller's side of its socket (`processes/attach.py`).
"""
