"""How well the twin that is fed from rows matches the fleet, and the fleet's own exact twin.

python benchmarks/twin_from_rows.py --days 1

The demo fleet runs three days untouched, then with the engine in autonomous mode. Printed: the
error of each four-hour window's profit against the ledger, without decisions and with them; and how
often what rows say of a decision that was carried out holds what the fleet's exact copies say.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from engine.evaluate import _question
from engine.simulator.settings import default_pools
from engine.twin.judge import RowsJudge
from engine.twin.scores import WINDOW, Window, check
from tests.engine.world import MONDAY, Played
from warehouse.decisions import decision
from warehouse.store import Location, Store

UNTOUCHED = timedelta(days=3)
QUARTER = timedelta(minutes=15)
TERMS = {pool.name: pool.economics for pool in default_pools()}
_MEASURED = """
    SELECT decision_id, realised_gain_usd_per_hour AS exact FROM decision_states
    WHERE realised_gain_usd_per_hour IS NOT NULL AND execution_phase = 'succeeded'
    ORDER BY proposed_at, decision_id
"""


def main() -> None:
    """Play the fleet, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=float, default=1.0, help="in autonomous mode")
    days = timedelta(days=parser.parse_args().days)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Location.embedded(Path(folder)))
        played = Played(store, default_pools(), rollouts=24)
        played.start(UNTOUCHED)
        played.set_modes("autonomous")
        for _ in range(days // QUARTER):
            played.engine.tick()
            played.forward(QUARTER)
        print_errors("without decisions", _errors(store, timedelta(days=1), UNTOUCHED))
        print_errors("with decisions", _errors(store, UNTOUCHED, UNTOUCHED + days))
        _print_coverage(played)
        store.close()


def _errors(store: Store, since: timedelta, until: timedelta) -> list[float]:
    found = []
    for turn in range((until - since) // WINDOW):
        starts_at = MONDAY + since + turn * WINDOW
        for pool, terms in TERMS.items():
            checked = check(store, pool, Window(starts_at, starts_at + WINDOW), terms)
            found += [checked.error_ratio] if checked else []
    return found


def print_errors(name: str, errors: Sequence[float]) -> None:
    """One line."""
    mean, deviation = np.mean(errors), np.std(errors, ddof=1)
    worst = np.max(np.abs(errors))
    print(f"{name}: {len(errors)} windows, {mean:+.3%} ± {deviation:.3%}, at most {worst:.3%}")


def _print_coverage(played: Played) -> None:
    judge = RowsJudge(played.store, TERMS, asks_validity=False)
    pairs, inside = [], 0
    for decision_id, exact in played.store.query(_MEASURED).iter_rows():
        told = judge.judgement(_question(decision(played.store, decision_id, now=played.now)))
        if told is not None:
            pairs.append((told.gain_usd_per_hour, exact))
            inside += told.low_usd_per_hour - 0.01 <= exact <= told.high_usd_per_hour + 0.01
    told_usd, exact_usd = np.array(pairs).T
    related = np.corrcoef(told_usd, exact_usd)[0, 1]
    apart = np.abs(told_usd - exact_usd).mean()
    print(
        f"{len(pairs)} decisions: {inside / len(pairs):.0%} inside the 80 % interval, correlation "
        f"{related:.2f}, apart by {apart:.2f} USD/h of {np.abs(exact_usd).mean():.2f}"
    )


if __name__ == "__main__":
    main()
