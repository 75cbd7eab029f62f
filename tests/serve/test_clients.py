"""Other people's clients: curl, schemathesis, lm-eval."""

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys

import pytest

import carousel
from serve.servers import ask

TEXT = "krish likes pizza so he orders pizza\nmy name is krish\n" * 5


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(port):
    address = f"http://127.0.0.1:{port}"
    listed = run("curl", "-sS", "--fail", f"{address}/v1/models")
    assert json.loads(listed.stdout)["data"][0]["id"] == "stories-lstm"
    words = run(
        "curl", "-sS", "--fail", "--json", '{"text": "krish likes pizza so he orders", "k": 1}',
        f"{address}/v1/next",
    )  # fmt: skip
    assert json.loads(words.stdout)["words"][0]["word"] == "pizza"
    stream = run(
        "curl", "-sSN", "--json", '{"prompt": "krish", "stream": true}', f"{address}/v1/completions"
    )
    assert stream.stdout.endswith("data: [DONE]\n\n")
    refused = run("curl", "-sS", "-d", "a=1", "-w", "%{http_code}", f"{address}/v1/next")
    assert refused.stdout.endswith("415")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_requests_made_up_from_the_description_meet_no_5xx(port):
    """Also: each answer has a status, a type and a shape that the description names."""
    command = importlib.util.find_spec("schemathesis")
    assert command is not None
    ran = run(
        sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{port}/openapi.json",
        "--max-examples", "12", "--seed", "1", "--phases", "examples,coverage,fuzzing",
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,"
        "response_schema_conformance,response_headers_conformance",
        "--mode", "all", "--request-timeout", "20", "--no-color",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]


def test_the_description_names_every_route_and_no_other(port):
    table = json.loads(ask(port, "GET", "/openapi.json")[2])
    assert set(table["paths"]) == {
        "/v1/models", "/v1/models/{model}", "/v1/completions", "/v1/next", "/v1/sessions",
        "/v1/sessions/feed", "/v1/sessions/branch", "/v1/sessions/close", "/v1/explain",
        "/tokenize", "/detokenize", "/tokenizer_info", "/health", "/ready",
    }  # fmt: skip
    limits = table["components"]["schemas"]["CompletionRequest"]["properties"]["n"]
    assert limits["anyOf"][0]["maximum"] == 16


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None or importlib.util.find_spec("tenacity") is None,
    reason="lm-eval is not installed: pip install 'lm-eval[api]'",
)
def test_lm_eval_measures_the_perplexity_of_carousel_evaluate(port, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "text.jsonl").write_text(json.dumps({"text": TEXT}) + "\n")
    (tmp_path / "stories.yaml").write_text(
        "task: stories\ndataset_path: json\noutput_type: loglikelihood_rolling\n"
        f"dataset_kwargs:\n  data_files:\n    test: {tmp_path}/text.jsonl\n"
        "test_split: test\ndoc_to_text: ''\ndoc_to_target: '{{text}}'\n"
        "metric_list:\n  - metric: byte_perplexity\n"
    )
    # The extra for APIs alone: PyTorch must not be needed.
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "torch.py").write_text("raise ImportError('there is no torch here')\n")
    paths = os.pathsep.join([str(blocked), os.environ.get("PYTHONPATH", "")])
    address = f"http://127.0.0.1:{port}/v1/completions"
    ran = run(
        sys.executable, "-m", "lm_eval", "run", "--model", "local-completions", "--model_args",
        f"model=stories-lstm,base_url={address},tokenizer_backend=remote,max_length=65536",
        "--tasks", "stories", "--include_path", str(tmp_path), "--output_path",
        str(tmp_path / "out"), "--batch_size", "1", "--seed", "0,1234,None,1234",
        env={**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-4000:]
    (results,) = (tmp_path / "out").rglob("results_*.json")
    measured = json.loads(results.read_text())["results"]["stories"]["byte_perplexity,none"]
    evaluation = carousel.load("stories-lstm").evaluate([tmp_path / "text.txt"])
    nats = math.log(measured) * len(TEXT.encode())
    perplexity = math.exp(nats / evaluation.tokens)
    print(f"lm-eval {perplexity:.6f}, carousel evaluate {evaluation.perplexity:.6f}")
    assert perplexity == pytest.approx(evaluation.perplexity, rel=1e-4)
