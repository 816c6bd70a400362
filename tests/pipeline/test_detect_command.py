"""`iess detect` on files as people have them: names, encodings, and what can't be read or written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from fhir_source.errors import IessError, SettingsError, UnreadableInput
from pipeline.cli.main import app
from surveillance.errors import BlocksUnreadable

HEADER = "week,site,prior_neurology,x,n_group,y,n_reference"


def detect(folder: Path, content: bytes | str, out: str = "chart.csv") -> pd.DataFrame:
    blocks = folder / "blocks.csv"
    blocks.write_bytes(content.encode() if isinstance(content, str) else content)
    result = CliRunner().invoke(app, ["detect", str(blocks), "--out", str(folder / out)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return pd.read_csv(folder / out)


def test_sites_keep_their_names(tmp_path: Path) -> None:
    # Read as numbers, site 01 would be site 1, and its group would be completed by the reference of another site.
    apart = detect(tmp_path, f"{HEADER}\n1,01,no,1,1,0,0\n1,1,no,0,0,0,3\n2,NA,no,1,2,0,2\n")
    assert apart["e_2"].tolist()[0] == 1.0
    assert apart["e_2"].tolist()[1] > 1.0


def test_a_mark_at_the_start_and_a_comma_at_the_end_of_lines(tmp_path: Path) -> None:
    marked = detect(tmp_path, b"\xef\xbb\xbf" + f"{HEADER},\n1,a,no,1,2,0,3,\n".encode())
    assert marked["e_2"].tolist() == detect(tmp_path, f"{HEADER}\n1,a,no,1,2,0,3\n")["e_2"].tolist()


@pytest.mark.parametrize(
    ("content", "out", "error"),
    [
        (b"", "chart.csv", UnreadableInput),
        (b"\xff\xfe\x00\x01", "chart.csv", UnreadableInput),
        (b"week;site\n1;a\n", "chart.csv", BlocksUnreadable),
        (f"{HEADER}\n1,a,no,3,2,0,3\n".encode(), "chart.csv", BlocksUnreadable),
        (f"{HEADER}\n1,a,no,1,2,0,3\n".encode(), "no/such/chart.csv", SettingsError),
    ],
)
def test_what_cannot_be_read_or_written_is_a_typed_error(
    tmp_path: Path, content: bytes, out: str, error: type[IessError]
) -> None:
    with pytest.raises(error):
        detect(tmp_path, content, out)
    assert not (tmp_path / "chart.csv").exists()
