"""A scripted Messages API on loopback: as strict as the real one, and free.

`async with Simulator() as simulator:` listens at `simulator.url`. Answers follow plain requests of the prompt (see
`dragoman.simulator.answers`). Refusals follow the model table of `dragoman.catalog` (see `dragoman.simulator.rules`).
Faults are injected (`simulator.inject(Fault(status=529))`, or `POST /_simulator/inject` with
`{"fault": {"status": 529}, "times": 1}`) or asked for by the prompt (`Simulate: status 529`; see
`dragoman.simulator.fault`).

`GET /_simulator/received` lists what came, `DELETE` forgets it; `POST /_simulator/hold` and `POST /_simulator/release`
stop and start answers.
"""

from dragoman.simulator.app import create_app
from dragoman.simulator.fault import Fault
from dragoman.simulator.server import Simulator
from dragoman.simulator.state import Received, State

__all__ = ["Fault", "Received", "Simulator", "State", "create_app"]
