"""Types that every layer shares: messages, events, errors, models. Imports no vendor's package and no framework."""
