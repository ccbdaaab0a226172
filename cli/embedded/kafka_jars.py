"""Apache Kafka's jars: whether this machine can run and fetch them, and fetching them once.

They are copied by Maven, with this machine's own Maven configuration, into a folder beside, which gets its final name
when it is complete. A list of the files and their sizes goes with them, so that a folder with a missing or cut jar, or
one of another Kafka version, is noticed and fetched again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from cli.embedded.console import Console, PartFailedError, shown
from cli.supervisor import Part, Supervisor

POM = Path(__file__).with_name("pom.xml")
KAFKA_VERSION = "4.3.1"
OLDEST_JAVA = 17
JARS = 92
MEGABYTES = 54
MANIFEST = "manifest.txt"

FETCH_SECONDS = 900.0
"""54 MB over a line of half a megabit a second."""


def java_version() -> int | None:
    """The major version of `java` on the PATH; None without one that starts."""
    java = shutil.which("java")
    if java is None:
        return None
    try:
        said = subprocess.run(  # noqa: S603 - the user's own java
            [java, "-version"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', said.stderr + said.stdout)
    return int(found.group(1)) if found else None


def missing(libs: Path) -> str | None:
    """What this machine lacks to run Apache Kafka, in words; None when nothing is."""
    version = java_version()
    if version is None:
        return "`java` is not on the PATH"
    if version < OLDEST_JAVA:
        return f"`java` is version {version}, {OLDEST_JAVA} is needed"
    if not complete(libs) and shutil.which("mvn") is None:
        return "`mvn` is not on the PATH, and the jars are not in the data folder"
    return None


def complete(libs: Path) -> bool:
    """Whether the folder holds every jar of this version in full."""
    with suppress(OSError, ValueError):
        pom, *lines = (libs / MANIFEST).read_text().splitlines()
        entries = [line.split(" ", 1) for line in lines]
        return pom == _pom_hash() and all((libs / name).stat().st_size == int(size) for size, name in entries)
    return False


def fetch(libs: Path, supervisor: Supervisor, console: Console) -> None:
    """Makes `libs` complete. Several processes may do so at once: the first one wins.

    Raises:
        PartFailedError: Maven failed; the text has its reason and its log.
    """
    if complete(libs):
        return
    where = shown(libs)
    console.say(f"fetching Apache Kafka {KAFKA_VERSION} by Maven, once: {JARS} jars, {MEGABYTES} MB, into {where}")
    partial = libs.with_name(f"{libs.name}.part-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    log = supervisor.log_of("maven")
    log.unlink(missing_ok=True)  # the progress below counts its lines
    command = ["mvn", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={partial}"]
    try:
        code = supervisor.run_once(
            Part(name="maven", command=lambda: command, working_dir=partial), FETCH_SECONDS, lambda: _progress(log)
        )
        if code != 0:
            raise PartFailedError(f"{_maven_error(log)}; log: {log}")
        _seal(partial)
        if not complete(libs):
            shutil.rmtree(libs, ignore_errors=True)
            with suppress(OSError):  # another process was faster
                partial.rename(libs)
        if not complete(libs):
            raise PartFailedError(f"the jars in {libs} are not complete; log: {log}")
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _pom_hash() -> str:
    return hashlib.sha256(POM.read_bytes()).hexdigest()


def _seal(folder: Path) -> None:
    jars = sorted(folder.glob("*.jar"))
    lines = [_pom_hash(), *(f"{jar.stat().st_size} {jar.name}" for jar in jars)]
    (folder / MANIFEST).write_text("\n".join(lines) + "\n")


def _progress(log: Path) -> str:
    with suppress(OSError):
        text = log.read_text(errors="replace")
        return f"Maven is at work, {len(re.findall(r'Downloaded from .*[.]jar', text))} jars downloaded"
    return "starting Maven"


def _maven_error(log: Path) -> str:
    with suppress(OSError):
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith("[ERROR]") and line[7:].strip():
                return "Maven: " + line[7:].strip()[:300]
    return "Maven failed"
