"""Data sets by id, from a stand-in for Hugging Face on the loopback interface that speaks the few requests it takes."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bise.corpus.hub import fetch_source
from bise.corpus.readers import Reading, read_source
from bise.corpus.recipe import Source, SourceFile
from bise.errors import InputError, NotFoundError, UnavailableError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves one data set, and remembers what was asked."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.asked: list[str] = []
        self.sizes: dict[str, int] = {}  # what is claimed where that is not the truth


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        name = self.path.removeprefix(f"/datasets/owner/texts/resolve/{COMMIT}/")
        if self.path.split("?")[0] == "/api/datasets/owner/texts/revision/main":
            siblings = [
                {"rfilename": key, "size": self.server.sizes.get(key, len(value))}
                for key, value in self.server.files.items()
            ]
            body = json.dumps({"id": "owner/texts", "sha": COMMIT, "siblings": siblings}).encode()
        elif name in self.server.files:
            body = self.server.files[name]
        else:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    pq.write_table(pa.table({"text": ["one", "two"], "n": [1, 2]}), tmp_path / "part.parquet")
    files = {
        "data/train-0.parquet": (tmp_path / "part.parquet").read_bytes(),
        "data/test-0.parquet": b"not wanted",
        "README.md": b"# Texts",
        "load.py": b"raise SystemExit('never run')",
    }
    with Hub(files) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def source(pattern: str, **more: str) -> Source:
    return Source("hf", "CC0 1.0", (SourceFile(pattern),), dataset="owner/texts", **more)  # type: ignore[arg-type]


def test_a_data_set_is_fetched_at_its_commit_and_read_as_files_are(hub: Hub, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    fetched = fetch_source(source("data/train-*.parquet"), tmp_path, endpoint)
    assert fetched.commit == COMMIT
    assert [file.path for file in fetched.files] == [f"huggingface/owner/texts/{COMMIT}/data/train-0.parquet"]
    documents = list(read_source(fetched, tmp_path, Reading()))
    assert [document.text for document in documents] == ["one", "two"]
    assert not any("test-0" in path or "load.py" in path for path in hub.asked)
    before = len(hub.asked)
    assert fetch_source(source("data/train-*.parquet"), tmp_path, endpoint) == fetched
    assert all("/api/" in path for path in hub.asked[before:]), "what is there is not fetched again"


def test_what_is_not_there_is_a_sentence(hub: Hub, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    with pytest.raises(NotFoundError, match=r"No file of the data set owner/texts fits \*\.jsonl\. It has: README\.md"):
        fetch_source(source("*.jsonl"), tmp_path, endpoint)
    with pytest.raises(NotFoundError, match="does not have the data set owner/texts at v9"):
        fetch_source(source("*", revision="v9"), tmp_path, endpoint)
    hub.shutdown()
    hub.server_close()
    with pytest.raises(UnavailableError, match="could not be reached"):
        fetch_source(source("*"), tmp_path, endpoint)


def test_a_file_that_does_not_arrive_whole_is_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.sizes["README.md"] = 5
    with pytest.raises(UnavailableError, match="did not arrive as"):
        fetch_source(source("README.md"), tmp_path, f"http://127.0.0.1:{hub.server_port}")
    assert not [path for path in tmp_path.rglob("README*") if path.is_file()]


@pytest.mark.parametrize("name", ["../../escape.jsonl", "/etc/escape.jsonl", "a/../../b.jsonl", "a\\b.jsonl"])
def test_names_that_lead_elsewhere_are_refused(hub: Hub, tmp_path: Path, name: str) -> None:
    hub.files[name] = b"{}"
    with pytest.raises(InputError, match="leads elsewhere"):
        fetch_source(source("*.jsonl"), tmp_path, f"http://127.0.0.1:{hub.server_port}")


def test_a_source_of_files_is_left_as_it_is(tmp_path: Path) -> None:
    files = Source("files", "CC0 1.0", (SourceFile("a.jsonl"),))
    assert fetch_source(files, tmp_path) is files
