"""Types that every layer shares: messages, events, errors, models. Imports no vendor and no framework."""
