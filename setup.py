"""Installation of d2m: `pip install -e .` or `pip install .`; the shipped weights come along."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
version = re.search(r'__version__ = "(.+)"', (here / "d2m" / "__init__.py").read_text())
requirements = [
    line.strip() for line in (here / "requirements.txt").read_text().splitlines() if line.strip() and line[0] != "#"
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
    package_data={"d2m": ["weights/*.safetensors"], "evaluate": ["*.html"]},
    install_requires=requirements,
    extras_require={"dev": ["pytest>=8", "beartype>=0.18", "ruff>=0.6", "basedpyright>=1.18", "pre-commit>=3.5"]},
)
