# The same as py-asyncio, on libuv.  Debian: python3-uvloop
import os
import runpy

import uvloop

uvloop.install()
here = os.path.dirname(os.path.abspath(__file__))
runpy.run_path(os.path.join(here, "py-asyncio.py"), run_name="__main__")
