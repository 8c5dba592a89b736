"""The panel of the module, one file for each of its sections; nothing is computed here."""
