"""The in-memory registry's requests: manifests, blobs, uploads, tags, referrers (distribution-spec 1.1)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from aiohttp import web

from holdall.errors import HoldallError
from holdall.oci.digest import Digest
from holdall.oci.mediatype import OCI_INDEX, bare

if TYPE_CHECKING:
    from holdall.testing.registry_store import RegistryStore, Repository

_NAME = "{name:[a-z0-9]+(?:[._/-][a-z0-9._/-]+)*}"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_CONTENT_RANGE = re.compile(r"(?:bytes )?(\d+)-(\d+)(?:/.*)?")


def repository_of(request: web.Request) -> str:
    """Name of the repository a request is about, or ""."""
    return request.match_info.get("name", "")


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status)


class Handlers:
    """One method per request of the specification."""

    def __init__(self, store: RegistryStore, *, redirect: bool) -> None:
        self.store = store
        self.redirect = redirect

    def register(self, app: web.Application) -> None:
        """Add the routes."""
        route = app.router.add_route
        route("GET", "/v2/", self.version)
        route("GET", "/v2/_catalog", self.catalog)
        route("GET", f"/v2/{_NAME}/tags/list", self.tags)
        route("GET", f"/v2/{_NAME}/referrers/{{digest}}", self.referrers)
        for method, handler in (
            ("GET", self.get_manifest),
            ("PUT", self.put_manifest),
            ("DELETE", self.delete_manifest),
        ):
            app.router.add_route(method, f"/v2/{_NAME}/manifests/{{reference}}", handler)
        route("HEAD", f"/v2/{_NAME}/manifests/{{reference}}", self.get_manifest)
        route("POST", f"/v2/{_NAME}/blobs/uploads/", self.start_upload)
        route("PATCH", f"/v2/{_NAME}/blobs/uploads/{{upload}}", self.append_upload)
        route("GET", f"/v2/{_NAME}/blobs/uploads/{{upload}}", self.upload_status)
        route("PUT", f"/v2/{_NAME}/blobs/uploads/{{upload}}", self.finish_upload)
        route("DELETE", f"/v2/{_NAME}/blobs/uploads/{{upload}}", self.cancel_upload)
        route("*", f"/v2/{_NAME}/blobs/{{digest}}", self.blob)
        route("GET", f"/storage/{_NAME}/{{digest}}", self.storage)

    def _repository(self, request: web.Request) -> Repository:
        return self.store.repository(repository_of(request))

    async def version(self, _request: web.Request) -> web.Response:
        """GET /v2/."""
        return web.json_response({})

    async def catalog(self, _request: web.Request) -> web.Response:
        """GET /v2/_catalog."""
        return web.json_response({"repositories": sorted(self.store.repositories)})

    async def tags(self, request: web.Request) -> web.Response:
        """GET /v2/NAME/tags/list with n and last."""
        names = sorted(self._repository(request).tags)
        last, count = request.query.get("last", ""), int(request.query.get("n", "0")) or len(names)
        rest = [name for name in names if name > last]
        response = web.json_response({"name": repository_of(request), "tags": rest[:count]})
        if len(rest) > count:
            response.headers["Link"] = f'<{request.path}?n={count}&last={rest[count - 1]}>; rel="next"'
        return response

    async def referrers(self, request: web.Request) -> web.Response:
        """GET /v2/NAME/referrers/DIGEST."""
        found = self._repository(request).referrers(request.match_info["digest"])
        body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
        return web.Response(body=json.dumps(body).encode(), content_type=OCI_INDEX)

    async def get_manifest(self, request: web.Request) -> web.Response:
        """GET and HEAD of a manifest by tag or digest; 404 when the client does not accept its type."""
        found = self._repository(request).manifest(request.match_info["reference"])
        accepted = ",".join(request.headers.getall("Accept", []))
        if found is None or (accepted and "*/*" not in accepted and found[0] not in accepted):
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        headers = {"Docker-Content-Digest": str(Digest.of(found[1]))}
        return web.Response(body=found[1], content_type=found[0], headers=headers)

    async def put_manifest(self, request: web.Request) -> web.Response:
        """PUT of a manifest whose blobs must be there."""
        raw = await request.read()
        reference, repository = request.match_info["reference"], self._repository(request)
        kind = bare(request.headers.get("Content-Type", ""))
        try:
            missing = repository.missing(raw, kind)
        except HoldallError as err:
            return _error(400, "MANIFEST_INVALID", err.message)
        if missing:
            return _error(400, "MANIFEST_BLOB_UNKNOWN", f"unknown blob {missing[0]}")
        if ":" in reference and str(Digest.of(raw)) != reference:
            return _error(400, "DIGEST_INVALID", "digest does not match")
        digest = repository.put_manifest(raw, kind, None if ":" in reference else reference)
        headers = {"Location": f"{request.path.rpartition('/')[0]}/{digest}", "Docker-Content-Digest": digest}
        return web.Response(status=201, headers=headers)

    async def delete_manifest(self, request: web.Request) -> web.Response:
        """DELETE of a tag or a manifest."""
        reference, repository = request.match_info["reference"], self._repository(request)
        if repository.tags.pop(reference, None) is not None:
            return web.Response(status=202)
        if repository.manifests.pop(reference, None) is None:
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        repository.tags = {tag: digest for tag, digest in repository.tags.items() if digest != reference}
        return web.Response(status=202)

    async def blob(self, request: web.Request) -> web.Response:
        """GET, HEAD and DELETE of a blob; GET may be sent elsewhere."""
        digest, repository = request.match_info["digest"], self._repository(request)
        data = repository.blobs.get(digest)
        if data is None:
            return _error(404, "BLOB_UNKNOWN", "blob unknown")
        if request.method == "DELETE":
            del repository.blobs[digest]
            return web.Response(status=202)
        if request.method == "GET" and self.redirect:
            port = request.host.rpartition(":")[2]
            target = f"{request.scheme}://localhost:{port}/storage/{repository_of(request)}/{digest}?signature=x"
            return web.Response(status=307, headers={"Location": target})
        return _ranged(request, data, digest)

    async def storage(self, request: web.Request) -> web.Response:
        """Where redirects lead: bytes without questions, but no credentials of another origin, please."""
        if "Authorization" in request.headers:
            return _error(400, "INVALID", "only one auth mechanism allowed")
        digest = request.match_info["digest"]
        return _ranged(request, self._repository(request).blobs[digest], digest)

    async def start_upload(self, request: web.Request) -> web.Response:
        """POST: mount from another repository, upload in one go, or begin."""
        repository = self._repository(request)
        mount, origin = request.query.get("mount"), request.query.get("from")
        if mount and origin and mount in self.store.repository(origin).blobs:
            repository.blobs[mount] = self.store.repository(origin).blobs[mount]
            return self._created(request, mount)
        if "digest" in request.query:
            return self._keep(request, await request.read(), request.query["digest"])
        return self._accepted(request, self.store.new_upload())

    async def append_upload(self, request: web.Request) -> web.Response:
        """PATCH: one chunk, in order."""
        upload = request.match_info["upload"]
        data = self.store.uploads.get(upload)
        if data is None:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown")
        match = _CONTENT_RANGE.fullmatch(request.headers.get("Content-Range", ""))
        if match is not None and int(match[1]) != len(data):
            return web.Response(status=416, headers={"Range": f"0-{max(len(data) - 1, 0)}"})
        async for chunk in request.content.iter_any():
            data += chunk
        return self._accepted(request, upload)

    async def upload_status(self, request: web.Request) -> web.Response:
        """GET: how much is there."""
        if request.match_info["upload"] not in self.store.uploads:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown")
        return self._accepted(request, request.match_info["upload"], status=204)

    async def finish_upload(self, request: web.Request) -> web.Response:
        """PUT: the last bytes, if any, and the digest."""
        data = self.store.uploads.pop(request.match_info["upload"], None)
        if data is None:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown")
        return self._keep(request, bytes(data) + await request.read(), request.query.get("digest", ""))

    async def cancel_upload(self, request: web.Request) -> web.Response:
        """DELETE of an upload."""
        self.store.uploads.pop(request.match_info["upload"], None)
        return web.Response(status=204)

    def _keep(self, request: web.Request, data: bytes, text: str) -> web.Response:
        try:
            digest = Digest.parse(text)
        except HoldallError as err:
            return _error(400, "DIGEST_INVALID", err.message)
        if Digest.of(data, digest.algorithm) != digest:
            return _error(400, "DIGEST_INVALID", "digest does not match")
        self._repository(request).blobs[text] = data
        return self._created(request, text)

    def _created(self, request: web.Request, digest: str) -> web.Response:
        location = f"/v2/{repository_of(request)}/blobs/{digest}"
        return web.Response(status=201, headers={"Location": location, "Docker-Content-Digest": digest})

    def _accepted(self, request: web.Request, upload: str, *, status: int = 202) -> web.Response:
        length = len(self.store.uploads[upload])
        location = f"/v2/{repository_of(request)}/blobs/uploads/{upload}?state={length}"
        headers = {"Location": location, "Range": f"0-{max(length - 1, 0)}", "Docker-Upload-UUID": upload}
        return web.Response(status=status, headers=headers)


def _ranged(request: web.Request, data: bytes, digest: str) -> web.Response:
    headers = {"Docker-Content-Digest": digest, "Accept-Ranges": "bytes"}
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    kind = "application/octet-stream"
    if match is None:
        return web.Response(body=data, headers=headers, content_type=kind)
    first, last = int(match[1]), min(int(match[2] or len(data) - 1), len(data) - 1)
    if first >= len(data):
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    return web.Response(status=206, body=data[first : last + 1], headers=headers, content_type=kind)
