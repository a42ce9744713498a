"""Runs moto's server on loopback with one bucket: moto-server.py ENV_FILE PORT REGION BUCKET (port 0: a free one).

Writes ENV_FILE, whole or not at all, once it answers and the bucket is there; then serves until it is ended.
"""
import os
import sys
import threading

# moto checks no credentials unless it is told to, but wants to see some.
KEY_ID, SECRET_KEY = "AKIACAIRNTESTS000000", "a-secret-of-the-tests-and-nothing-else-x"

# Nothing of the machine's own AWS settings may count, and nothing may be asked for but what is on loopback.
for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
    del os.environ[name]
os.environ.update(
    AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull, AWS_EC2_METADATA_DISABLED="true",
    AWS_ACCESS_KEY_ID=KEY_ID, AWS_SECRET_ACCESS_KEY=SECRET_KEY,
    # Short pages, so that a listing of many takes few objects: moto makes some ten in a second.
    MOTO_S3_DEFAULT_MAX_KEYS="100",
)

import boto3  # noqa: E402
from moto.s3.responses import S3Response  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

# moto looks whether an object is there, and then makes it. AWS does both at once, and that is what is tested against.
put_object, one_at_a_time = S3Response.put_object, threading.Lock()


def put_object_at_once(response):
    with one_at_a_time:
        return put_object(response)


S3Response.put_object = put_object_at_once


def main():
    env_file, port, region, bucket = sys.argv[1:]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(port), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client("s3", region_name=region, endpoint_url=endpoint)
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    client.create_bucket(Bucket=bucket, **where)
    with open(env_file + ".new", "w") as out:
        for name, value in [
            ("AWS_ACCESS_KEY_ID", KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("CAIRN_TEST_ENDPOINT", endpoint),
            ("CAIRN_TEST_REGION", region),
            ("CAIRN_TEST_BUCKET", bucket),
            # For tests that configure the server: `python -c` with boto3.
            ("CAIRN_TEST_MOTO_PYTHON", sys.executable),
        ]:
            out.write(f"export {name}={value}\n")
    os.replace(env_file + ".new", env_file)
    threading.Event().wait()


if __name__ == "__main__":
    main()
