"""Checks every experiment file against experiments/schema.json. Needs the package jsonschema."""

import json
import sys
import tomllib
from pathlib import Path

from jsonschema import Draft202012Validator

root = Path(__file__).parent.parent / "experiments"
schema = json.loads((root / "schema.json").read_text())
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
files = sorted(root.rglob("*.toml"))
errors = [
    f"{path.relative_to(root)}: {error.json_path}: {error.message}"
    for path in files
    for error in validator.iter_errors(tomllib.loads(path.read_text()))
]
misspelt = {"dataset": {"name": "synthetic"}, "model": {"name": "tagger", "hiden": 3}}
if validator.is_valid(misspelt):
    errors.append("the schema accepts the unknown key model.hiden")
print("\n".join(errors) or f"{len(files)} experiment files match the schema")
sys.exit(bool(errors) or not files)
