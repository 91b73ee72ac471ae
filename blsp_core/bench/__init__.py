"""`blsp-bench`: what a step costs here, and what it costs as the released code computes it."""
