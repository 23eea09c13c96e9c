"""`python -m app` is `o2c`."""

import sys

from app.cli import main

sys.exit(main())
