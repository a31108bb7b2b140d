"""The dashboard: its page, and the sessions of people who are signed in."""
