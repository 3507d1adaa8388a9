"""An S3 server on this machine, for tests: it checks keys and signatures."""

from __future__ import annotations

import json
import logging
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION = "us-east-1"


@dataclass(frozen=True, kw_only=True)
class S3:
    """A server with one bucket, and the key that may write to it."""

    address: str
    bucket: str
    key: str
    secret: str

    def uri(self, path: str, *, login: str = "", address: str = "") -> str:
        """Return the URI of a path in the bucket, with the key in it only if given."""
        at = f"{login}@" if login else ""
        options = f"endpoint_override={address or self.address}&scheme=http&region={REGION}"
        return f"s3://{at}{self.bucket}/{path}?{options}"

    @property
    def login(self) -> str:
        """Key and secret as a URI holds them."""
        return f"{self.key}:{quote(self.secret, safe='')}"

    @property
    def environment(self) -> dict[str, str]:
        """The same as environment variables."""
        return {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}


@contextmanager
def run_s3_server() -> Iterator[S3]:
    """Run a server in a thread. Its state is the process's: run one at a time, and once only."""
    import boto3
    from moto.server import ThreadedMotoServer

    log = logging.getLogger("werkzeug")
    level = log.level
    log.setLevel(logging.CRITICAL)  # a line a request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        root = {"aws_access_key_id": "root", "aws_secret_access_key": "root"}
        client = {"endpoint_url": url, "region_name": REGION, **root}
        boto3.client("s3", **client).create_bucket(Bucket="bucket")
        iam = boto3.client("iam", **client)
        iam.create_user(UserName="tester")
        everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
        iam.put_user_policy(UserName="tester", PolicyName="all", PolicyDocument=document)
        key = iam.create_access_key(UserName="tester")["AccessKey"]
        # From now on each request is checked.
        request = urllib.request.Request(
            f"{url}/moto-api/reset-auth",
            data=b"0",
            method="POST",
            headers={"Content-Type": "text/plain"},
        )
        urllib.request.urlopen(request).close()
        yield S3(
            address=f"{host}:{port}",
            bucket="bucket",
            key=key["AccessKeyId"],
            secret=key["SecretAccessKey"],
        )
    finally:
        server.stop()
        log.setLevel(level)
