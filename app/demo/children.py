"""The hidden command `demo-fleet`, which the fleet starts as its child; importing this module loads Celery."""

import sys
from collections.abc import Sequence

from app.demo.keeper import Keeper
from app.demo.roles import roles_of
from app.demo.systems import SYSTEMS


def run_fleet_child(arguments: Sequence[str]) -> int:
    """Run the demo systems on the brokers given as `name=url` until standard input ends; the exit code."""
    urls = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    missing = sorted({system.broker for system in SYSTEMS} - urls.keys())
    if missing:
        sys.stderr.write(f"demo-fleet needs a broker URL for {', '.join(missing)}, as in {missing[0]}=redis://…\n")
        return 2
    Keeper(role for system in SYSTEMS for role in roles_of(system, urls[system.broker])).keep()
    return 0
