"""From a folder of CIFs to frameworks that differ: read, filter, describe, choose, and show what is covered."""
