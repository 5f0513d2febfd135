"""How well a model's scores agree with MOS, and how sure that is."""
