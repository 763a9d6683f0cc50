"""Pods as the official Kubernetes client lists them, to compare with the lists of `kube.api`.

Requests of the program do not use it: importing `kubernetes.aio` takes about a second of
processor time and 25 MiB, because it imports a module for every type of the API.
"""

from __future__ import annotations

from pathlib import Path

from tui_forward.common.blocking_call import run_in_thread
from tui_forward.errors import ApiError, TransportError


async def import_client() -> None:
    """Import the client, which the first list does otherwise, in a thread."""
    await run_in_thread(_import_client, name="import")


async def list_pod_names(kubeconfig: Path, context: str) -> set[tuple[str, str]]:
    """Return namespace and name of every pod."""
    client, config = await run_in_thread(_import_client, name="import")
    configuration = client.Configuration()
    await config.load_kube_config(
        config_file=str(kubeconfig), context=context, client_configuration=configuration
    )
    async with client.ApiClient(configuration) as api:
        try:
            pods = await client.CoreV1Api(api).list_pod_for_all_namespaces()
        except client.ApiException as error:
            raise ApiError(f"cannot list pods: {error.reason}", status=error.status or 0) from error
        except OSError as error:
            raise TransportError(f"cannot list pods: {error}") from error
    return {(pod.metadata.namespace, pod.metadata.name) for pod in pods.items}


def _import_client():  # type: ignore[no-untyped-def]  # the package has no types
    from kubernetes.aio import client, config

    return client, config
