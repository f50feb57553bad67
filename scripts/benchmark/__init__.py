"""How fast the published model trains and generates, ours against the stock packages, in one run."""
