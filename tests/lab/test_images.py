# SPDX-License-Identifier: MIT
"""Container images: an OCI layout made here, its layers, what it runs, and what is refused."""
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile

import pytest

from product import Unix, wait_until

LAB = "images"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"

# a whole runtime in a program that needs nothing of its root
PROGRAM = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static char in[8192];
static int call(const char *text)
{
    struct sockaddr_in a = { AF_INET, htons(9001), { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM, 0), n = 0, r;
    if (connect(fd, (void *)&a, sizeof(a)) || write(fd, text, strlen(text)) < 0) exit(8);
    while ((r = read(fd, in + n, sizeof(in) - 1 - n)) > 0) n += r;
    in[n] = 0;
    close(fd);
    return n;
}
int main(int argc, char **argv)
{
    char body[1000], text[2000], cwd[200], id[64];
    for (;;) {
        call("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        sscanf(strcasestr(in, "aws-request-id: ") + 16, "%63[^\r]", id);
        snprintf(body, sizeof(body), "[\"%s\",\"%s\",\"%s\",\"%s\"]", argv[0], argc > 1 ? argv[1] : "", getcwd(cwd, 200),
                 getenv("OF_IMAGE") ?: "");
        snprintf(text, sizeof(text), "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                 "Content-Length: %zu\r\n\r\n%s", id, strlen(body), body);
        call(text);
    }
}
"""


class Image:
    """An OCI layout."""

    def __init__(self, product, name):
        self.top = os.path.join(product.files, name)
        self.blobs = os.path.join(self.top, "blobs", "sha256")
        os.makedirs(self.blobs, exist_ok=True)

    def blob(self, data, media, **more):
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(self.blobs, digest), "wb") as f:
            f.write(data)
        return {"mediaType": media, "digest": "sha256:" + digest, "size": len(data), **more}

    def write(self, layers, config, index=False, architecture="amd64"):
        described = [self.blob(gzip.compress(x, mtime=0) if i % 2 else x, LAYER + ("+gzip" if i % 2 else "")) for i, x in enumerate(layers)]
        c = self.blob(json.dumps({"architecture": architecture, "os": "linux", "config": config, "rootfs": {"type": "layers"}}).encode(), CONFIG)
        manifest = self.blob(json.dumps({"schemaVersion": 2, "config": c, "layers": described}).encode(), MANIFEST,
                             platform={"os": "linux", "architecture": architecture})
        with open(os.path.join(self.top, "index.json"), "w") as f:
            json.dump({"schemaVersion": 2, "manifests": [manifest]}, f)
        with open(os.path.join(self.top, "oci-layout"), "w") as f:
            json.dump({"imageLayoutVersion": "1.0.0"}, f)
        return described


def layer(**files):
    """A tar archive: text, bytes (a program), None (a folder), ("link"|"hard", target), "dev"."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, what in files.items():
            m = tarfile.TarInfo(name)
            data = b""
            if what is None:
                m.type, m.mode = tarfile.DIRTYPE, 0o755
            elif what == "dev":
                m.type, m.devmajor, m.devminor = tarfile.BLKTYPE, 8, 0
            elif isinstance(what, tuple):
                m.type, m.linkname = tarfile.SYMTYPE if what[0] == "link" else tarfile.LNKTYPE, what[1]
            else:
                data = what.encode() if isinstance(what, str) else what
                m.mode = 0o644 if isinstance(what, str) else 0o4755
            m.size, m.uid = len(data), 1234
            t.addfile(m, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture(scope="module")
def program(product):
    source, out = os.path.join(product.files, "p.c"), os.path.join(product.files, "p")
    with open(source, "w") as f:
        f.write(PROGRAM)
    subprocess.run(["cc", "-D_GNU_SOURCE", "-w", "-O1", "-static", "-o", out, source], check=True)
    with open(out, "rb") as f:
        return f.read()


@pytest.fixture(scope="module")
def shell():
    """Debian's shell and what it needs, as files of a layer."""
    files = {"bin": ("link", "usr/bin"), "lib64": ("link", "usr/lib64"), "lib": ("link", "usr/lib")}
    for path in "/usr/bin/dash", "/usr/bin/cat", "/usr/bin/stat", "/usr/bin/ls":
        files["usr/bin/" + ("sh" if "dash" in path else os.path.basename(path))] = open(path, "rb").read()
        for word in subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout.split():
            if word.startswith("/"):
                at = "usr/" + word.lstrip("/").removeprefix("usr/")
                files[at] = open(word, "rb").read()
    return layer(**files)


def up(product, check=0, **functions):
    return product.vpclab("up", product.file({"version": 1, "lab": LAB, "functions": functions}), check=check)


def invoke(product, name, payload="1"):
    return product.vpclab("invoke", LAB, name, "--payload", payload).out


@pytest.mark.ids("PKG-2")
@pytest.mark.mutant("image-config", "package-type")
def test_an_image_with_a_runtime(product, program):
    """Entry point, command, folder and variables are the image's, or the function's own; a folder or an archive of it."""
    image = Image(product, "one")
    image.write([layer(app=program, deep=None)], {"Entrypoint": ["/app"], "Cmd": ["word"], "WorkingDir": "/deep",
                                                  "Env": ["OF_IMAGE=yes", "AWS_REGION=nowhere"]})
    with tarfile.open(os.path.join(product.files, "one.tar"), "w") as t:
        t.add(image.top, arcname=".")
    f = {"runtime": "provided.al2023", "image": "one", "timeout": 10}
    up(product, plain=f, packed={**f, "image": "one.tar"},
       own={**f, "image_config": {"command": ["other"], "working_directory": "/tmp"}, "environment": {"OF_IMAGE": "no"}})
    assert json.loads(invoke(product, "plain")) == ["/app", "word", "/deep", "yes"]
    assert json.loads(invoke(product, "packed")) == ["/app", "word", "/deep", "yes"]
    assert json.loads(invoke(product, "own")) == ["/app", "other", "/tmp", "no"]
    c = Unix(product.run + "/sandboxd.sock")
    c.request("GET", "/2015-03-31/functions/plain/configuration", headers={"X-Vpclab-Lab": LAB})
    told = json.loads(c.getresponse().read())
    c.close()
    assert told["PackageType"] == "Image" and "Runtime" not in told and "Handler" not in told
    state = os.path.join(product.run, "state", "code")
    product.vpclab("down", LAB, check=0)
    wait_until(lambda: not os.path.exists(state) or not os.listdir(state), "what was unpacked is gone")


@pytest.mark.ids("PKG-2", "EX-10")
@pytest.mark.mutant("image-whiteout", "image-opaque")
def test_layers_of_an_image(product, shell):
    """A later one replaces, deletes and hides; files are root's, without special bits; the root can't be written."""
    image = Image(product, "two")
    image.write([shell, layer(**{"d": None, "d/gone": "1", "d/kept": "2", "o": None, "o/hidden": "3", "same": "low\n"}),
                 layer(**{"d/.wh.gone": "", "o": None, "o/.wh..wh..opq": "", "o/new": "4", "same": "high\n", "hard": ("hard", "same"),
                          "disk": "dev", "suid": b"x"})], {"Cmd": ["/bin/sh"]})
    f = {"runtime": "exec", "image": "two", "timeout": 10}
    up(product, f={**f, "image_config": {"command": ["/bin/sh", "-c", "cat same hard; ls -A d o; stat -c %u:%a suid; ls /disk 2>/dev/null;"
                                                     " ls -A /usr/bin; (echo x > /same) 2>/dev/null || echo no"]}})
    assert invoke(product, "f").split() == ["high", "high", "d:", "kept", "o:", "new", "0:755", "cat", "ls", "sh", "stat", "no"]


@pytest.mark.ids("PKG-2")
@pytest.mark.mutant("image-digest")
def test_a_blob_that_is_not_what_it_says(product, program):
    image = Image(product, "three")
    described = image.write([layer(app=program)], {"Cmd": ["/app"]})
    at = os.path.join(image.blobs, described[0]["digest"][7:])
    with open(at, "r+b") as f:
        f.seek(100)
        f.write(b"\1")
    r = up(product, check=2, f={"runtime": "provided", "image": "three"})
    assert "its content isn't what its digest says" in r.err and "functions.f.image" in r.err
    image.write([layer(app=program)], {"Cmd": ["/app"]})
    up(product, f={"runtime": "provided", "image": "three"})
    image.write([layer(app=program)], {"Cmd": ["/app"]}, architecture="arm64")
    assert "no image for linux/amd64" in up(product, check=2, f={"runtime": "provided", "image": "three"}).err


@pytest.mark.ids("PKG-2")
@pytest.mark.mutant("image-paths")
@pytest.mark.parametrize("files", [{"../out": "x"}, {"a": ("link", "/tmp"), "a/vpclab-out": "x"}, {"h": ("hard", "../../../etc/passwd")},
                                   {"a": ("link", "../../.."), "a/vpclab-out": "x"}])
def test_no_path_of_a_layer_leaves_it(product, files):
    image = Image(product, "four")
    image.write([layer(**files)], {"Cmd": ["/app"]})
    out = "/tmp/vpclab-out"
    if os.path.exists(out):     # a mutant's
        os.unlink(out)
    assert "functions.f.image" in up(product, check=2, f={"runtime": "provided", "image": "four"}).err
    assert not os.path.exists(out)
