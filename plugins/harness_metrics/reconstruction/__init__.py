"""How near reconstructions come to their originals."""
