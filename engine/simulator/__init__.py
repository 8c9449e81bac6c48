"""The simulator: one compiled core for the exact replay, the demo fleet, planning and training.

From the floor up: `layout` and `hashing`; `events`, `placement`, `runs`, `orders`, `kernel`
(compiled); `settings`, `market`, `workload`, `trace`; `replay` and `live` (one pool); `fleet`,
`commands`, `counterfactual`; `observe` and `planning`; `source` (rows for the warehouse).
"""
