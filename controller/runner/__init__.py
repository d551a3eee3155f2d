"""The data plane: algorithm processes and their holders, images, calls. It starts what it is told, decides nothing."""
