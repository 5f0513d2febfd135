"""D: which videos of the pool to label, by the greedy rule and by the rules it is compared with."""
