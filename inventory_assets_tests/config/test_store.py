"""The store of results: a folder or a bucket."""

from pathlib import Path

import pytest

from inventory_assets.config import StoreBucket, load_config
from inventory_assets_tests.config.files import load, mistakes


def test_the_store_is_relative_to_the_folder_of_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "my.toml").write_text('store = "results"\n[sources.logs]\nbucket = "acme-logs"')

    assert load_config(Path("etc/my.toml")).store == folder / "results"


def test_an_absolute_store_stays_where_it_is() -> None:
    config = load('store = "/srv/inventory"\n[sources.logs]\nbucket = "acme-logs"')

    assert config.store == Path("/srv/inventory")


@pytest.mark.parametrize(
    ("store", "why"),
    [
        ("gs://results", "found the address gs://..., "),
        ("", "that is not empty"),
        ("~/results", "not in '~'"),
        ("s3://", "a bucket's name has 3 to 63 letters"),
        ("s3:///daily", "a bucket's name has 3 to 63 letters"),
        ("s3://a..b/daily", "a bucket's name has 3 to 63 letters"),
        ("s3://acme--use1-az4--x-s3/daily", "directory buckets are not supported"),
        ("s3://results/../other", "no name '..'"),
        ("s3://results/a//b", "'/' between names"),
        ("s3://results/a?b", "a prefix has at most 300 letters"),
        ("s3://results/" + "a" * 301, "a prefix has at most 300 letters"),
    ],
)
def test_a_store_that_is_no_folder_and_no_bucket_is_an_error(store: str, why: str) -> None:
    (line,) = mistakes(f'store = "{store}"\n[sources.logs]\nbucket = "acme-logs"')

    assert line.startswith("store: found ")
    assert "expected the path of a folder, or s3:// with a bucket and a prefix: " in line
    assert why in line


@pytest.mark.parametrize(
    ("store", "prefix"),
    [
        ("s3://results", ""),
        ("s3://results/", ""),
        ("s3://results/a/dt=1", "a/dt=1"),
        ("s3://results/a/b/", "a/b"),
    ],
)
def test_a_store_may_be_a_bucket(store: str, prefix: str) -> None:
    config = load(f'store = "{store}"\n[sources.logs]\nbucket = "acme-logs"')

    assert config.store == StoreBucket(bucket="results", prefix=prefix)


def test_a_store_bucket_has_access_settings() -> None:
    config = load(
        """
        store = "s3://results/daily"
        [store_bucket]
        endpoint_url = "http://127.0.0.1:9000/"
        region = "eu-west-1"
        profile = "prod"
        addressing_style = "path"
        [sources.logs]
        bucket = "acme-logs"
        """
    )

    assert config.store == StoreBucket(
        bucket="results",
        prefix="daily",
        endpoint_url="http://127.0.0.1:9000",
        region="eu-west-1",
        profile="prod",
        addressing_style="path",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('endpoint_url = "minio:9000"', "store_bucket.endpoint_url: found the text 'minio:9000'"),
        ("region = 1", "store_bucket.region: found the number 1, expected a text in quotes"),
        ('addressing_style = "dns"', "expected 'auto', 'path' or 'virtual'"),
        ('profil = "prod"', "store_bucket.profil: found an unknown field; did you mean 'profile'?"),
        ('secret = "x"', "store_bucket.secret: secrets do not belong in the file"),
    ],
)
def test_a_mistake_in_the_store_bucket_is_named(text: str, message: str) -> None:
    start = f'store = "s3://results"\n[store_bucket]\n{text}\n'
    (line,) = mistakes(f'{start}[sources.logs]\nbucket = "acme-logs"')

    assert message in line


def test_a_store_bucket_without_a_bucket_is_an_error() -> None:
    (line,) = mistakes('[store_bucket]\nregion = "eu-west-1"\n[sources.logs]\nbucket = "acme-logs"')

    assert line.startswith("store_bucket: found although the store is a folder")
