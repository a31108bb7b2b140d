"""Downloads images and files that a request names by URL, within the operator's rules."""
