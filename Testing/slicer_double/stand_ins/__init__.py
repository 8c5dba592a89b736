"""Stand-ins for the Python packages of Slicer that no wheel has; written from their documentation."""
