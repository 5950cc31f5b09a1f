"""Installs each peer under target/peers, from the versions that are pinned here: an environment each, made once."""

import shutil
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

from processes import BenchError

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
NPM_FILES = (HERE / "package.json", HERE / "package-lock.json")
# A peer that cannot be fetched is reported, not waited for.
LONGEST_SECONDS = 900


@dataclass(frozen=True)
class Installer:
    """Where peers are installed, and the Node that runs one of them."""

    folder: Path
    node: Path

    def python(self, name: str, packages: tuple[str, ...], without: tuple[str, ...] = ()) -> Path:
        """The interpreter of an environment with these packages, and without some that they bring."""
        folder = self.folder / name
        done = folder / f"installed-{key(' '.join([*pins(), *packages, *without]).encode())}"
        python = folder / "bin" / "python"
        if not done.exists():
            print(f"installing {name}", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            run([sys.executable, "-m", "venv", folder])
            # Wheels only: no code of a package runs while it is installed.
            pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            options: list[str | Path] = ["--only-binary", ":all:", "--constraint", REQUIREMENTS]
            run([*pip, *options, *packages])
            if without:
                run([python, "-m", "pip", "uninstall", "--quiet", "--yes", *without])
            done.touch()
        return python

    def npm(self, name: str) -> Path:
        """The folder with the packages of package-lock.json."""
        folder = self.folder / name
        done = folder / f"installed-{key(b''.join(file.read_bytes() for file in NPM_FILES))}"
        npm = self.node.resolve().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if not self.node.exists() or not npm.exists():
            raise BenchError(f"found no Node with npm at {self.node}")
        if not done.exists():
            print(f"installing {name}", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for file in NPM_FILES:
                shutil.copy(file, folder)
            options = ["--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"]
            run([self.node, npm, "ci", *options, "--prefix", folder])
            done.touch()
        return folder


def pins() -> list[str]:
    """What is pinned, without the remarks."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return [pin for line in lines if (pin := line.split("#")[0].strip())]


def version(package: str) -> str:
    """The version of a Python package that is pinned."""
    for pin in pins():
        name, _, number = pin.partition("==")
        if name == package:
            return number
    raise BenchError(f"{REQUIREMENTS.name} does not pin {package}")


def key(content: bytes) -> str:
    """A short name of what is installed, so that a changed pin installs it anew."""
    return f"{zlib.crc32(content):08x}"


def run(command: list[str | Path]) -> None:
    """Runs one step. Package clients keep the environment: it says where the registry is."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        raise BenchError(f"`{command[0]}` did not end within {LONGEST_SECONDS} s") from expired
    except OSError as error:
        raise BenchError(f"`{command[0]}` cannot be run: {error}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        # pip's error of a pin that is not there lists every version that is.
        raise BenchError(f"installation failed: {lines[-1].strip()[:300]}")
