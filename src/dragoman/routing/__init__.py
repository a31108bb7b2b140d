"""Several upstreams: selection, circuit breakers, budgets."""
