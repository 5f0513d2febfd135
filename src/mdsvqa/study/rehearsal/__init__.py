"""The loop tried on parts of the labeled source before labels are paid for."""
