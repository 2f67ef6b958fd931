"""Write the tables: `python -m bench.tables`."""

import sys

from bench.tables.page import main

sys.exit(main())
