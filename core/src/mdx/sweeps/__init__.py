"""Many runs: pairs of sites, seeds and variants, and the rows of a published table."""
