"""Run the real DAGs once, in order, in this process: `python -m dags.replay` (what `make demo` does).

`dag.test()` runs every task as Airflow does, with its connections, mapping, XComs and triggers, but without a
scheduler. Ends with 1 when a run did not succeed.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import DAG

#: In the order in which the data flows. In a running Airflow the pull's asset starts the timeline.
IN_ORDER = ("iess_pull", "iess_timeline", "iess_weekly_equity")


def main() -> int:
    """Replay the DAGs; one line a DAG on standard output, for the program that started this one."""
    for dag_id in IN_ORDER:
        found: DAG = getattr(import_module(f"dags.{dag_id}"), dag_id)()
        print(f"start {found.dag_id}", flush=True)  # noqa: T201
        run = found.test()
        if run.state != "success":
            print(f"failed {found.dag_id}", flush=True)  # noqa: T201
            return 1
        print(f"done {found.dag_id}", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
