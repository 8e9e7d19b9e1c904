"""`bise quality` from the command line."""

import json
from pathlib import Path

from click.testing import CliRunner

from bise.cli.main import main
from bise.corpus.quality import QualityModel


def test_a_classifier_is_learned_from_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    for i in range(30):
        (tmp_path / "good" / f"{i}.txt").write_text(f"quiet garden morning {i}", encoding="utf-8")
    lines = [json.dumps({"body": f"cheap casino bonus {i}"}) for i in range(30)] + ["{"]
    (tmp_path / "any.jsonl").write_text("\n".join(lines), encoding="utf-8")
    arguments = [
        "quality",
        str(tmp_path / "good"),
        "--against",
        str(tmp_path / "any.jsonl"),
        "--out",
        str(tmp_path / "q"),
    ]
    done = CliRunner().invoke(main, [*arguments, "--text-field", "body"])
    assert done.exit_code == 0, done.output
    assert "Malformed records: 1, such as" in done.stderr
    assert "threshold  precision  recall" in done.stdout
    assert QualityModel.load(tmp_path / "q").facts["good"] == 30
