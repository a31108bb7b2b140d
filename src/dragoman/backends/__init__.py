"""Ways to reach Claude, and embedding models. `base` says what each promises."""
