"""`python -m sampan` is the same as `sampan`."""

import sys

from sampan.cli.main import main

sys.exit(main())
