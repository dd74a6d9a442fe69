"""Installs txigd and its Twisted plugin."""

from pathlib import Path

from setuptools import find_packages, setup

EXTRAS = {
    "test": ["hypothesis", "coverage", "mypy", "mypy-zope", "lxml-stubs", "ruff", "import-linter", "build"],
    "docs": ["sphinx", "myst-parser", "furo"],
}

setup(
    name="txigd",
    version="0.1.0",
    description="UPnP Internet Gateway Device control point for Twisted",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    # Without package_dir an editable install uses an import hook, and Twisted, which scans sys.path, loses the plugin.
    package_dir={"": "."},
    # twisted/ has no __init__.py on purpose: twisted/plugins is merged into Twisted's own package.
    packages=[*find_packages(include=["txigd", "txigd.*"]), "twisted.plugins"],
    package_data={"txigd": ["py.typed", "igd/*.json", "igd/*.pyi", "testing/captures/*.xml"]},
    install_requires=["twisted>=24.11", "treq>=23.11", "zope.interface", "lxml", "ifaddr"],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["txigd = txigd.cli.main:script"]},
    zip_safe=False,
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: Twisted",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Topic :: Internet",
        "Topic :: System :: Networking",
        "Typing :: Typed",
    ],
)
