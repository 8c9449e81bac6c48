"""The hands on Kubernetes: each command is a list of steps, written down before they are taken.

- `hands.py`    commands in, answers out; `steps.py` a step, `runner.py` takes them and takes back
- `quarantine.py`, `migration.py`, `rebalance.py`, `repair.py`, `scaling.py`  the commands' steps
- `lease.py`    who acts; `rights.py` what may be done; `reconcile.py` what was left behind
"""
