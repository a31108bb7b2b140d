"""Programs that write the generated pages of `docs/`. Run them with `make docs`."""
