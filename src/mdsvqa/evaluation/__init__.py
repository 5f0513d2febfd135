"""How well scores agree with MOS, and how sure that is."""
