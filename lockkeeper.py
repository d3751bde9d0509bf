"""The lockkeeper command line: it hands each verb to the package that does it."""
