#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""compile.py SOURCE OUT: the byte code of a module, by the Python of the machine."""

import py_compile
import sys

py_compile.compile(sys.argv[1], cfile=sys.argv[2], doraise=True)
