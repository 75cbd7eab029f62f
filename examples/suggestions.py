# Words that may come next, while one types: python suggestions.py [SERVER] < text
import json
import re
import sys
from urllib import error, request

SERVER = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"


def post(path, **body):
    content, kind = json.dumps(body).encode(), {"Content-Type": "application/json"}
    with request.urlopen(request.Request(SERVER + path, content, kind)) as answer:
        return json.load(answer)


class Document:
    def __init__(self):
        self.read, self.session = "", post("/v1/sessions")["session"]

    def ask(self, path, **body):
        try:
            return post(path, session=self.session, **body)
        except error.HTTPError as refused:
            if refused.code != 404:
                raise
        self.session = post("/v1/sessions", text=self.read)["session"]  # the old one is gone
        return post(path, session=self.session, **body)

    def feed(self, text):
        self.session = self.ask("/v1/sessions/feed", text=text)["session"]
        self.read += text


document = Document()
for line in sys.stdin:
    for space, word in re.findall(r"(\s*)(\S+)", line):
        words = document.ask("/v1/next", prefix=word[:1], k=3)["words"]
        print(word, "|", *(row["word"] for row in words), flush=True)
        document.feed(space + word)
    document.feed("\n")
