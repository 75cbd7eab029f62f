"""Two servers behind nginx: a session that its client keeps moves freely between them."""

import shutil
import socket
import subprocess

import pytest

import carousel
from serve.servers import ask, post, running, until_ready

WORDS = ("krish", "likes", "pizza", "but", "he", "does", "not", "like", "burger")
CONFIG = """
daemon off; pid {place}/nginx.pid; error_log stderr; worker_processes 1;
events {{}}
http {{
  access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
  fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
  upstream carousel {{ server 127.0.0.1:{one}; server 127.0.0.1:{two}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://carousel; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_set_header Host localhost; proxy_buffering off;
    }}
  }}
}}
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_sessions_of_clients_move_freely_behind_nginx(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("a secret that both servers know\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ("stories-lstm", "--session-key-file", keys)
    with running(*options) as one, running(*options) as two:
        config = tmp_path / "nginx.conf"
        config.write_text(
            CONFIG.format(place=tmp_path, one=one.port, two=two.port, port=port), encoding="utf-8"
        )
        balancer = subprocess.Popen(["nginx", "-c", config], stderr=subprocess.DEVNULL)
        try:
            until_ready(port)
            session = carousel.load("stories-lstm").session()
            name = post(port, "/v1/sessions", {"kept_by": "client"})[1]["session"]
            for word in WORDS:
                fed = post(port, "/v1/sessions/feed", {"session": name, "text": word})
                name = fed[1]["session"]
                session.feed(word)
                found = post(port, "/v1/next", {"session": name, "k": 3})[1]["words"]
                assert found == [{"word": w, "probability": p} for w, p in session.next_words(3)]
            status, _, stream = ask(
                port, "POST", "/v1/completions", {"prompt": "krish", "stream": True}
            )
            assert (status, stream[-14:]) == (200, b"data: [DONE]\n\n")
            for server in (one, two):  # both had their share
                text = ask(server.port, "GET", "/metrics")[2].decode()
                assert 'carousel_requests_total{route="/v1/' in text
        finally:
            balancer.terminate()
            balancer.wait(timeout=30)
