"""Installation of d2m; its metadata stands in pyproject.toml, here is only which folders are packages."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["d2m", "d2m.*"]), "d2m.configs"])
