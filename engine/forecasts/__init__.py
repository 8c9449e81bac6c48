"""Forecasts of occupancy, arrivals and the market's price, with quantiles that cover what they say.

`grid` turns rows into series of quarters of an hour; `targets` says what is forecast of a series
and what is known at the time; `candidates` are the models: persistence, which is the floor, the
days before, and boosted trees; `conformal` corrects their quantiles and scores them; `contest`
plays them over the past without a look ahead and picks one a pool, series and horizon; `job` writes
the rows. Arrays throughout; scikit-learn is loaded when the first boosted model is fitted.
"""
