"""How anything runs here: results that survive a kill, handed-in tables, processes, progress, errors."""
