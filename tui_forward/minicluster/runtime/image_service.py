"""CRI image service of the embedded runtime: one image per application, always present."""

from __future__ import annotations

import grpc

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.cri.errors import CriError
from tui_forward.minicluster.runtime.apps import registry
from tui_forward.minicluster.runtime.cri_messages import image_id


class EmbeddedImages:
    """Implementation of the CRI's `ImageService`, with containerd's messages."""

    async def list_images(self, request: cri.ListImagesRequest) -> cri.ListImagesResponse:
        """Return one image per application."""
        image = request.filter.image.image
        names = [registry.find_app(image)] if image else list(registry.APPS)
        return cri.ListImagesResponse(images=[_image(name) for name in names if name])

    async def image_status(self, request: cri.ImageStatusRequest) -> cri.ImageStatusResponse:
        """Return the image if there is an application of that name."""
        image = request.image.image
        if registry.find_app(image) is None:
            return cri.ImageStatusResponse()
        return cri.ImageStatusResponse(image=_image(image))

    async def pull_image(self, request: cri.PullImageRequest) -> cri.PullImageResponse:
        """Return the reference of an image; fail for images that are not present."""
        image = request.image.image
        if registry.find_app(image) is None:
            name = image if "/" in image else f"docker.io/library/{image}"
            raise CriError(
                f'failed to pull and unpack image "{name}": failed to resolve reference '
                f'"{name}": {name}: not found',
                status=grpc.StatusCode.NOT_FOUND,
            )
        return cri.PullImageResponse(image_ref=image_id(image))


def _image(name: str) -> cri.Image:
    return cri.Image(id=image_id(name), repo_tags=[registry.full_reference(name)], size=1 << 20)
