"""A made-up plugin for the tests of sweeps."""
