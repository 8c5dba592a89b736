"""Between a scene of 3D Slicer and PyPeTLib: nodes in, nodes out; nothing is computed here."""
