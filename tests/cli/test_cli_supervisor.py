"""The supervisor with small stand-in children, real processes all of them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest

from cli import supervisor as module
from cli.embedded.console import Console, PartFailedError, StopRequestedError
from cli.running import is_alive
from cli.supervisor import Child, Part, Supervisor

SLEEPER = "import time\ntime.sleep(600)"
ROOT = Path(__file__).resolve().parents[2]


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code), *arguments]


def part(name: str, code: str, *arguments: str, **more: object) -> Part:
    return Part(name=name, command=lambda: python(code, *arguments), **more)  # type: ignore[arg-type]


def tick_until(supervisor: Supervisor, true, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "did not become true in time"
        supervisor.tick()
        time.sleep(0.02)


def said(console: Console) -> str:
    return console.stream.getvalue()  # type: ignore[attr-defined]


def test_a_killed_part_is_restarted_and_one_line_says_so(supervisor: Supervisor, console: Console) -> None:
    supervisor.start(part("relay", SLEEPER))
    first = supervisor.pids()["relay"]
    os.kill(first, signal.SIGKILL)
    tick_until(supervisor, lambda: supervisor.pids().get("relay") not in (None, first))
    assert is_alive(supervisor.pids()["relay"])
    assert said(console).count("relay was ended by SIGKILL; restart in 0.2 s") == 1


def test_the_wait_before_a_restart_doubles_up_to_a_bound(
    supervisor: Supervisor, console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_BACKOFF_SECONDS", 0.02)
    monkeypatch.setattr(module, "LAST_BACKOFF_SECONDS", 0.05)
    starts = tmp_path / "starts"
    code = f"open({str(starts)!r}, 'a').write('x')\nimport sys\nsys.exit('no such table')"
    supervisor.start(part("worker", code, required=False))
    tick_until(supervisor, lambda: starts.exists() and len(starts.read_text()) >= 10)
    waits = [line.split("restart in ")[1][:5] for line in said(console).splitlines() if "restart in" in line]
    assert waits == ["0.0 s", "0.0 s", "0.1 s", "0.1 s", "0.1 s"], "0.05 s is the bound, rounded"
    assert said(console).count("worker ended with exit code 1 again and again, last it wrote 'no such table'") == 1
    assert said(console).count("worker restarted") == 5, "and no line a try from then on"


def test_a_required_part_that_never_comes_up_is_given_up_and_its_log_named(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_BACKOFF_SECONDS", 0.01)
    supervisor.start(part("api", "import sys\nsys.exit('no such table')"))
    with pytest.raises(PartFailedError, match=r"6 deaths within 60 s.*no such table.*logs/api\.log"):
        tick_until(supervisor, lambda: False)


@pytest.mark.parametrize("has_ready", [False, True])
def test_a_required_part_that_was_up_is_tried_until_it_stays_up(
    supervisor: Supervisor, console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_ready: bool
) -> None:
    monkeypatch.setattr(module, "FIRST_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(module, "LAST_BACKOFF_SECONDS", 0.05)
    monkeypatch.setattr(module, "PROVEN_SECONDS", 0.3)
    fault, starts, ready = tmp_path / "fault", tmp_path / "starts", tmp_path / "ready"
    code = f"""
        import pathlib, sys, time
        open({str(starts)!r}, "a").write("x")
        if pathlib.Path({str(fault)!r}).exists():
            sys.exit("the fault")
        open({str(ready)!r}, "w")
        time.sleep(600)
    """

    def wait(child: Child) -> None:
        while not ready.exists():
            child.check()
            time.sleep(0.01)

    supervisor.start(part("api", code, **({"ready": wait} if has_ready else {})))
    tick_until(supervisor, ready.exists)
    if not has_ready:
        live_until = time.monotonic() + 0.5
        tick_until(supervisor, lambda: time.monotonic() > live_until)
    fault.touch()
    ready.unlink()
    monkeypatch.setattr(module, "PROVEN_SECONDS", 60.0)  # to start and to fail takes a slow machine as long as that was
    os.kill(supervisor.pids()["api"], signal.SIGKILL)
    tick_until(supervisor, lambda: "again and again" in said(console))
    monkeypatch.setattr(module, "DEATHS_WINDOW_SECONDS", 0.0)  # it lasts so long that every death is forgotten
    tries = len(starts.read_text()) + 20
    tick_until(supervisor, lambda: len(starts.read_text()) > tries, 30.0)
    assert said(console).count("again and again, last it wrote 'the fault'") == 1
    assert said(console).count("api ended with exit code 1") == (2 if has_ready else 5)
    fault.unlink()
    monkeypatch.setattr(module, "PROVEN_SECONDS", 0.3)
    over = "api restarted" if has_ready else "api stays up again"
    tick_until(supervisor, lambda: said(console).splitlines()[-1] == over)
    assert is_alive(supervisor.pids()["api"])


def test_a_full_disk_is_named_and_what_cannot_be_written_down_is_written_later(
    console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(module, "LAST_BACKOFF_SECONDS", 0.05)
    is_full, told = [False], []

    def tell(pids: dict[str, int]) -> None:
        if is_full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        told.append(pids)

    supervisor = Supervisor(console, tmp_path / "logs", tell)
    try:
        supervisor.start(part("worker", "raise SystemExit(1)", required=False))
        is_full[0] = True
        monkeypatch.setattr(module, "LEAST_FREE_BYTES", 2**62)
        tick_until(supervisor, lambda: "again and again, the disk of" in said(console))
        assert len(told) == 1
        is_full[0] = False
        tick_until(supervisor, lambda: len(told) > 1)
    finally:
        supervisor.stop()


def test_a_full_disk_under_what_is_said_ends_nothing() -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - to close it is to fail
    Console(full).say("a line")
    with suppress(OSError):
        full.close()


def test_a_part_that_dies_before_it_is_ready_is_tried_again(supervisor: Supervisor, tmp_path: Path) -> None:
    counter = tmp_path / "starts"
    code = f"""
        import pathlib, time
        file = pathlib.Path({str(counter)!r})
        starts = len(file.read_text()) if file.exists() else 0
        file.write_text("x" * (starts + 1))
        if starts < 2:
            raise SystemExit(1)
        time.sleep(600)
    """

    def ready(child: Child) -> None:
        end = time.monotonic() + 10
        while not (counter.exists() and len(counter.read_text()) == 3):
            child.check()
            assert time.monotonic() < end
            time.sleep(0.01)

    supervisor.start(part("postgres", code, ready=ready))
    assert counter.read_text() == "xxx"


def test_parts_end_in_reverse_order_and_a_group_at_once(supervisor: Supervisor, tmp_path: Path, eventually) -> None:
    log = tmp_path / "order"
    code = f"""
        import signal, sys, time
        def end(*_):
            open({str(log)!r}, "a").write(sys.argv[1] + "\\n")
            time.sleep(0.2)
            sys.exit()
        signal.signal(signal.SIGTERM, end)
        open({str(log)!r} + sys.argv[1], "w")
        time.sleep(600)
    """
    names = ["postgres", "broker", "sandbox", "relay", "worker", "api-0", "api-1"]
    for name in names:
        supervisor.start(part(name, code, name, group="api" if name.startswith("api") else ""))
        eventually((tmp_path / f"order{name}").exists)
    pids = supervisor.pids()
    supervisor.stop()
    ended = log.read_text().split()
    assert sorted(ended[:2]) == ["api-0", "api-1"]
    assert ended[2:] == ["worker", "relay", "sandbox", "broker", "postgres"]
    assert not any(is_alive(pid) for pid in pids.values())


def test_a_part_that_ignores_sigterm_is_killed_after_its_time(
    supervisor: Supervisor, console: Console, tmp_path: Path, eventually
) -> None:
    deaf = f"import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen({str(tmp_path / 'up')!r}, 'w')\n"
    supervisor.start(part("worker", deaf + "time.sleep(600)", stop_seconds=0.3))
    eventually((tmp_path / "up").exists)
    pid = supervisor.pids()["worker"]
    supervisor.stop()
    assert not is_alive(pid)
    assert "worker did not end within 0 s: killed" in said(console)


def test_dependents_are_restarted_with_what_they_depend_on(supervisor: Supervisor, tmp_path: Path) -> None:
    address = {"now": "first"}

    def new_address(_child: Child) -> None:
        address["now"] = f"address-{time.monotonic_ns()}"

    seen = tmp_path / "seen"
    code = f"import os, time\nopen({str(seen)!r}, 'a').write(os.environ['ADDRESS'] + '\\n')\ntime.sleep(600)"
    supervisor.start(part("broker", SLEEPER, ready=new_address, dependents=("relay", "worker")))
    supervisor.start(part("relay", code, environment=lambda: {"ADDRESS": address["now"]}))
    first = dict(supervisor.pids())
    tick_until(supervisor, lambda: seen.exists() and seen.read_text().count("\n") == 1)
    os.kill(first["broker"], signal.SIGKILL)
    tick_until(supervisor, lambda: seen.read_text().count("\n") == 2)
    before, after = seen.read_text().split()
    assert before != after == address["now"]
    assert not is_alive(first["relay"])


def test_a_stop_is_heard_while_waiting_for_a_part(supervisor: Supervisor, console: Console) -> None:
    def never_ready(child: Child) -> None:
        console.stop_requested = True
        while True:
            child.check()
            console.pause(0.05)

    with pytest.raises(StopRequestedError):
        supervisor.start(part("postgres", SLEEPER, ready=never_ready))
    pid = supervisor.pids()["postgres"]
    supervisor.stop()
    assert not is_alive(pid)


def test_a_one_time_run_is_bounded(supervisor: Supervisor, tmp_path: Path) -> None:
    assert supervisor.run_once(part("once", "raise SystemExit(7)"), 10, str) == 7
    code = f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    with pytest.raises(PartFailedError, match="once took over 3 s"):
        supervisor.run_once(part("once", code), 3, str)
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_long_log_is_rotated_at_the_next_start(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOG_ROTATE_BYTES", 1000)
    for size in (600, 600, 0):
        supervisor.run_once(part("api", "import sys\nprint('x' * int(sys.argv[1]))", str(size)), 10, str)
    assert (tmp_path / "logs" / "api.log").read_text() == "\n"
    assert len((tmp_path / "logs" / "api.log.1").read_text()) == 1202


def test_children_have_a_session_of_their_own_and_the_niceness_asked_for(supervisor: Supervisor, eventually) -> None:
    supervisor.start(part("worker", SLEEPER, nice=5))
    pid = supervisor.pids()["worker"]
    assert os.getsid(pid) == pid != os.getsid(0)
    eventually(lambda: os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0) + 5)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_children_end_when_the_supervisor_is_killed(number: signal.Signals, tmp_path: Path, eventually) -> None:
    code = f"""
        import sys, time
        from pathlib import Path
        from cli.embedded.console import Console
        from cli.supervisor import Part, Supervisor
        supervisor = Supervisor(Console(), Path({str(tmp_path)!r}))
        for name in ("relay", "worker"):
            supervisor.start(Part(name=name, command=lambda: [sys.executable, "-c", {SLEEPER!r}]))
        print(*supervisor.pids().values(), flush=True)
        time.sleep(600)
    """
    with subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        pids = [
            int(word)
            for line in (process.stdout.readline() for _ in range(3))
            for word in line.split()[-2:]
            if word.isdigit()
        ]
        assert len(pids) == 2
        assert all(is_alive(pid) for pid in pids)
        process.send_signal(number)
    eventually(lambda: not any(is_alive(pid) for pid in pids))


def test_a_command_that_does_not_exist_is_said_in_the_log(supervisor: Supervisor) -> None:
    missing = Part(name="broker", command=lambda: ["/no/such/program"])
    assert supervisor.run_once(missing, 10, str) == 127
    assert supervisor.last_words("broker") == "cannot run /no/such/program: No such file or directory"
