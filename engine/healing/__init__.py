"""Healing: from the first sign of a node's illness to its return.

`evidence` asks the rows what speaks against each node, `score` makes a health of it, `incidents`
tells the story, `judging` does all three at each round of the engine.
"""
