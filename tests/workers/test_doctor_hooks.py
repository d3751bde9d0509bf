"""`lockkeeper doctor` says which webhook could not be told, and tells none."""

from __future__ import annotations

from pathlib import Path

from tests.policies_fixture import make_cluster
from workers.doctor import try_secrets


def test_a_webhook_whose_secret_is_not_there_is_named(tmp_path: Path) -> None:
    """By its moment and its host."""
    (tmp_path / "there").write_text("s3cret")
    hooks = {
        "pre-run": [{"command": "check-backup"}],
        "post-run": [
            {"webhook": f"https://{name}.example.org/t0k3n", "secret": {"file": tmp_path / name}}
            for name in ("there", "missing")
        ],
    }
    found = list(try_secrets("prod", make_cluster(hooks=hooks)))
    assert [f.code for f in found] == ["hook-secret-missing"]
    assert found[0].sentence.startswith(
        "The webhook https://missing.example.org of prod could not be signed at post-run:"
    )
    assert "t0k3n" not in found[0].sentence
