"""Makes every video playable in a browser, and the traps, training clips and anchors of a study."""
