"""A copy of the tree as a git repository of its own, at scale smoke: what tests of the whole study run in."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
KEPT = {"full": ("salmonn", "shuffled-labels", "wavlm+llm"), "extra": ("blsp-2", "blsp-emo-2")}  # one of every kind


class Copy:
    """A copy of the tree as a git repository of its own, at scale smoke."""

    def __init__(self, root: Path):
        self.root = root
        listed = self.run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file() and not name.startswith(("figures/", "data/mini/")):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, root / name)
        self.run("git", "init", "-q")
        self.python("-m", "blsp_core.pipeline", "scale", "smoke")
        self.change("evaluation", "altered", to=["blsp-emo"])  # "improved", which is in params.yaml, is not among KEPT
        runs = self.params["runs"]
        self.change("runs", to={**runs, **{level: {n: runs[level][n] for n in names} for level, names in KEPT.items()}})
        self.commit()

    @property
    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "PYTHONPATH": str(self.root)}

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """What a program of this environment prints; a failure shows all of it."""
        done = subprocess.run(command, cwd=cwd or self.root, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def python(self, *arguments: str) -> str:
        return self.run(sys.executable, *arguments)

    def dvc(self, *arguments: str) -> str:
        return self.python("-m", "dvc", *arguments)

    def repro(self, level: str) -> set[str]:
        """The stages that `blsp-repro` executed."""
        said = self.python("-c", "from blsp_core.repro import app; app()", level, "-j", "2")
        return set(re.findall(r"^\d+/\d+ (.+): done", said, re.MULTILINE))

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x", "--allow-empty")

    @property
    def params(self) -> dict:
        return YAML(typ="safe", pure=True).load((self.root / "params.yaml").read_text(encoding="utf-8"))

    def change(self, *keys: str, to) -> None:
        """Set one value of params.yaml."""
        yaml = YAML()
        yaml.width = 120
        params = place = yaml.load((self.root / "params.yaml").read_text(encoding="utf-8"))
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to
        with open(self.root / "params.yaml", "w", encoding="utf-8") as file:
            yaml.dump(params, file)

    def stale(self) -> set[str]:
        return set(json.loads(self.dvc("status", "--json")))

    def append(self, path: str, text: str) -> None:
        with open(self.root / path, "a", encoding="utf-8") as file:
            file.write(text)
