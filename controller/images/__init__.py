"""Pictures: the formats that callers bring, and the memory-backed files through which algorithms see them.

Here lives every rule about pixels, `.npy` headers and the slots in `run/images`.
Not here: who calls whom with a picture (`calls`), and the client's own way of sharing one (`client`).
"""
