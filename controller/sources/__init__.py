"""Where desired state comes from. A source yields a valid revision or every problem it found; it changes nothing."""
