"""The market: what competitors charge and offer, beside what we do, and what to do about it.

facts           what documentation says, each with its source and date
metrics         what is worked out from offers over time
own             the same of ourselves, from our own rows
scoring         metrics to scores from 0 to 100, each explained
elasticity      how demand answers our price
recommendations what to do, in $/month
evidence        what a decision on a price rests on
round           all of it, when due
"""
