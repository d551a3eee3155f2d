"""From an offline zip to an installed package: archive, manifest, wheels, environment, proof, install."""
