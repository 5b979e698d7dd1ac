"""The one thing that pyproject.toml cannot say: a C library that knows nothing of Python.

It is built like an extension module, so that the usual tools find compiler and flags, but needs no
Python headers; one wheel serves every Python of a machine.
"""

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel


class Wheel(bdist_wheel):
    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[
        Extension(
            "sampan_native.answer",
            ["src/sampan_native/answer.c"],
            extra_compile_args=["-O2", "-Wall", "-Wextra"],
            py_limited_api=True,
        )
    ],
    cmdclass={"bdist_wheel": Wheel},
)
