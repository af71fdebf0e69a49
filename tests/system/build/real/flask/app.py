import os

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return f"{os.environ['GREETING']} from uid {os.getuid()}\n"


if __name__ == "__main__":
    app.run("0.0.0.0", 8000)
