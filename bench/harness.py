"""What the benches share: environments, parts in processes of their own, the table, the exit code.

A part is a file in `bench/parts` with a list `PACKAGES` and a function `measure(tools)` that gives rows: dictionaries
with `part`, `line`, `measured`, `asked` and `met` (`None` where nothing is asked).
"""

import argparse
import datetime
import hashlib
import importlib.util
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
BUILD = ["cargo", "build", "--release", "--workspace", "--bins", "--examples"]


def packages_of(part):
    """The pinned packages of a part, without importing what it imports."""
    text = (ROOT / "bench/parts" / f"{part}.py").read_text()
    start = text.index("PACKAGES = [")
    scope = {}
    exec(text[start : text.index("]", start) + 1], scope)
    return scope["PACKAGES"]


def environment_of(part):
    """The Python for a part: the one that BRAINREEL_BENCH_PYTHON_<PART> names, or a pinned environment of ours."""
    given = os.environ.get(f"BRAINREEL_BENCH_PYTHON_{part.upper()}")
    if given:
        return pathlib.Path(given)
    packages = "\n".join(packages_of(part))
    base = pathlib.Path(os.environ.get("BRAINREEL_BENCH_VENV", pathlib.Path(tempfile.gettempdir()) / "brainreel-bench"))
    folder = base.with_name(f"{base.name}-{hashlib.sha256(packages.encode()).hexdigest()[:8]}")
    python, stamp = folder / "bin/python", folder / "packages"
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages.splitlines()], check=True)
        stamp.write_text(packages)
    return python


def inside(part, tools):
    """Imports a part and gives its rows, in its own environment."""
    spec = importlib.util.spec_from_file_location(part, ROOT / "bench/parts" / f"{part}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.measure(tools)


def run_part(script, part, arguments, options):
    """Rows of a part, from a process of its own environment."""
    command = [str(environment_of(part)), str(pathlib.Path(script).resolve()), "--inside", part]
    command += ["--quick"] if arguments.quick else []
    for name in options:
        value = getattr(arguments, name)
        command += [f"--{name}", str(value)] if value is not None else []
    with tempfile.NamedTemporaryFile("r", suffix=".json") as answer:
        subprocess.run([*command, "--answer", answer.name], check=True, stdout=sys.stderr)
        return json.loads(pathlib.Path(answer.name).read_text())


def table(rows):
    lines = ["| part | what | measured | asked | |", "|---|---|---|---|---|"]
    for row in rows:
        verdict = {True: "met", False: "**missed**", None: ""}[row["met"]]
        lines.append(f"| {row['part']} | {row['line']} | {row['measured']} | {row['asked']} | {verdict} |")
    return "\n".join(lines)


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if pathlib.Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"


def report(script, title, method, rows, seconds):
    head = [
        f"# {title}",
        "",
        f"By `bench/{pathlib.Path(script).name}` on {datetime.date.today()}: {processor()}, 2 threads each, one run of {seconds / 60:.0f} minutes.",
        method,
        "",
    ]
    return "\n".join([*head, table(rows), ""])


def parse(doc, parts, options):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short run of each part")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, metavar="PART", help=", ".join(parts))
    for name, settings in options.items():
        parser.add_argument(f"--{name}", **settings)
    parser.add_argument("--out", type=pathlib.Path, help="where the table is written")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=pathlib.Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main(script, doc, title, method, parts, options):
    """Runs the parts that the command line asks for; `options` are further ones, handed on to the parts' `tools`.

    `method` says in the report how times and ratios were taken."""
    arguments = parse(doc, parts, options)
    if arguments.inside:
        with tempfile.TemporaryDirectory() as scratch:
            tools = argparse.Namespace(
                brainreel=RELEASE / "brainreel",
                examples=RELEASE / "examples",
                scratch=pathlib.Path(scratch),
                quick=arguments.quick,
                threads=2,
                **{name: getattr(arguments, name) for name in options},
            )
            arguments.answer.write_text(json.dumps(inside(arguments.inside, tools)))
        return 0
    subprocess.run(BUILD, cwd=ROOT, check=True)
    start, rows = time.time(), []
    for part in arguments.only:
        print(f"{part} ...", file=sys.stderr, flush=True)
        try:
            found = run_part(script, part, arguments, options)
        except subprocess.CalledProcessError as error:
            found = [{"part": part, "line": "the comparison itself", "measured": f"failed with {error.returncode}", "asked": "-", "met": False}]
        rows += found
        print(table(found), file=sys.stderr, flush=True)
    text = report(script, title, method, rows, time.time() - start)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)
    missed = [row for row in rows if row["met"] is False]
    print(f"{len(missed)} of {len(rows)} lines missed", file=sys.stderr)
    return 1 if missed else 0
