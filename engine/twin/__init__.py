"""The twin: the simulator fed from the warehouse's rows, so that any fleet has one.

sight      what policies read of a pool, from rows, by the very code that training uses
tapes      a pool's past quarters of an hour, from rows
episodes   what really came in a span, as an episode that any policy can play
scores     what policies would have earned, and whether the twin matches reality
judge      what a decision was worth, from rows alone
"""
