"""Rules that staged rows, timelines and metrics must satisfy, and the gate that runs them before a load.

The rules are data (`catalogue.csv`); Great Expectations runs them by SQL in PostgreSQL. Importing this package does not
import Great Expectations, which costs seconds: `gate.run` does that when it is called.
"""
