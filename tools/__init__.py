"""Programs that maintain the project. They are not part of the wheel."""
