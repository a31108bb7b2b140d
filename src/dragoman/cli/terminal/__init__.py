"""What people see in their terminal while and after a command works."""
