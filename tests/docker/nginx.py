"""Debian's nginx with the project's `docker/nginx.conf`, on loopback.

`STAGEDOOR_TEST_NGINX` names the program when it is not on the PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.embedded.ports import free_port, listens
from tests.docker.compose_file import DOCKER

NGINX = os.environ.get("STAGEDOOR_TEST_NGINX") or shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")

CI = bool(os.environ.get("CI"))
"""Where CI runs nginx is required: a missing one fails there."""

MARKS = [
    pytest.mark.long,
    pytest.mark.servers,
    pytest.mark.skipif(NGINX is None and not CI, reason="nginx is not on this machine"),
]

AROUND = """
{user}
daemon off;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    {site}
}}
"""


@contextmanager
def running_nginx(upstream_port: int, folder: Path) -> Iterator[int]:
    """nginx with the project's file before what listens there, for the `with` block; its port."""
    port = free_port()
    site = (DOCKER / "nginx.conf").read_text()
    for written, here in {
        "127.0.0.1:8080": f"127.0.0.1:{upstream_port}",
        "listen 80;": f"listen 127.0.0.1:{port};",
        "listen [::]:80;": "",
    }.items():
        assert site.count(written) == 1
        site = site.replace(written, here)
    configuration = folder / "nginx.conf"
    configuration.write_text(AROUND.format(site=site, user="user root;" if os.geteuid() == 0 else ""))
    assert NGINX is not None
    words = [NGINX, "-p", str(folder), "-e", "stderr", "-c", str(configuration)]
    with Path(folder / "log").open("wb") as log:
        process = subprocess.Popen(words, stderr=log)
    try:
        end = time.monotonic() + 10
        while not listens("127.0.0.1", port):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)
