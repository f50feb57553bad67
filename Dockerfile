# d2m on a CPU: the command, and the page at http://localhost:7860. Nothing of the host is needed but Docker.
#   docker build -t d2m .
#   docker run --rm -p 127.0.0.1:7860:7860 d2m                                  # the page
#   docker run --rm -v "$PWD:/dances" -w /dances d2m d2m dance.mp4 -o out.mp4   # one film
FROM python:3.12-slim
# MediaPipe loads these two when it looks for a body.
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1
RUN pip install "torch<2.12" "torchaudio<2.12" --index-url https://download.pytorch.org/whl/cpu
WORKDIR /opt/d2m
COPY pyproject.toml setup.py requirements.txt README.md LICENSE ./
COPY configs configs
COPY d2m d2m
RUN pip install ".[pose,web]" && rm -rf build
RUN useradd --create-home dancer
USER dancer
WORKDIR /home/dancer
EXPOSE 7860
CMD ["d2m", "serve", "--host", "0.0.0.0", "--port", "7860"]
