"""The controllers of the stand-in, one pass each a tick: what a control plane and its nodes do."""
