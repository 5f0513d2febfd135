"""Which videos there are, their roles and labels; file -> frames; the simulated corpus."""
