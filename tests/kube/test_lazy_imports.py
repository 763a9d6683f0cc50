from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_contexts_are_listed_without_an_http_client() -> None:
    code = (
        "import sys\n"
        "from tui_forward.kube import KubeconfigSource\n"
        "import tui_forward.catalog\n"
        "heavy = {'aiohttp', 'kubernetes', 'watchfiles', 'cryptography', 'yaml', 'asyncio.ssl'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert run(code) == "[]"


def test_a_request_imports_only_what_it_needs_of_the_client() -> None:
    code = (
        "import sys\n"
        "import tui_forward.kube.api.http_session as http\n"
        "from tui_forward.transport.access import Endpoint\n"
        "http.HttpSession(Endpoint('127.0.0.1', 1))\n"
        "heavy = {'kubernetes.client', 'kubernetes.aio.client.api_client', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)), 'kubernetes.aio.client.rest' in sys.modules)"
    )
    assert run(code) == "[] True"


@pytest.mark.parametrize(
    "use",
    [
        "import kubernetes; kubernetes.client.CoreV1Api",
        "from kubernetes import client; client.CoreV1Api",
        "import kubernetes.aio; kubernetes.aio.client.CoreV1Api",
        "from kubernetes import config; config.load_kube_config",
        "from kubernetes.aio import watch; watch.Watch",
        "import kubernetes; print(kubernetes.__version__)",
    ],
)
def test_the_client_stays_whole_for_everybody_else(use: str) -> None:
    code = (
        "from tui_forward.kube.lazy_imports import import_light\n"
        "import_light('kubernetes.aio.client.configuration')\n" + use
    )
    run(code)


def test_a_request_does_not_load_the_system_s_authorities() -> None:
    code = (
        "import os, ssl\n"
        "os.environ['SSL_CERT_DIR'] = '/somewhere'\n"
        "os.environ.pop('SSL_CERT_FILE', None)\n"
        "loaded = []\n"
        "def look(context):\n"
        "    loaded.append(os.environ['SSL_CERT_FILE'])\n"
        "ssl.SSLContext.set_default_verify_paths = look\n"
        "from tui_forward.kube.lazy_imports import load_aiohttp\n"
        "load_aiohttp()\n"
        "print(set(loaded) == {os.devnull}, os.environ.get('SSL_CERT_FILE'), "
        "os.environ['SSL_CERT_DIR'])"
    )
    assert run(code) == "True None /somewhere"
