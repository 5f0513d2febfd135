"""The loop tried on labeled data sets of the source, each the target of the others, before labels are paid for."""
