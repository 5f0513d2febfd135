"""The method: the loop, told once; on arrays, on files, over rules and seeds, rehearsed."""
