"""Pull FHIR resources from servers and folders into an immutable landing zone.

`pull.pull` is the way in: one source (`source.Source`), one pull, one manifest (`landing.Manifest`). Below it, by kind:

- `search`: `search` plans, `units` land, `selection` splits into queries, `paging` and `pages` check what comes,
  `deletions` looks for what is gone;
- `bulk`: `bulk` plans, `bulk_job` talks to the export's job, `bulk_files` downloads;
- `files`: `folders` copies, `inputs` finds and opens, `bundles` unfolds.

All HTTP goes through `transport` (`pacing`, `origins`, `tls`, `auth`, `keys`); all writing through `writer`, so that a
kill at any moment loses nothing that was whole. `probe` looks at a source without pulling. `airflow/` is the only part
that knows Airflow.
"""
