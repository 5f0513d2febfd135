"""The loop tried on the labeled source, so that the rule is chosen before labels are paid for."""
