"""From a zip to a proven installation: archive, manifest, wheels, environment, proof, receipt.

Here lives every check of a package and everything that makes or removes an installation.
Not here: which package is wanted (`planning`), running processes (`processes`), the registry file (`store`).
"""
