"""Makes every registered environment known to Gymnasium as `agentrl/NAME-v0`.

Gymnasium 1.x has no plugin entry points: importing a package is what registers its environments.
`import agentrl` therefore does so, but without importing Gymnasium itself (a fifth of a second):
where Gymnasium is not loaded yet, its environments are registered as soon as it is.
`gymnasium.make("agentrl:agentrl/NAME-v0")` needs no import of agentrl at all.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

_PACKAGE = "gymnasium"


def gymnasium_id(name: str) -> str:
    """Return the Gymnasium id of a registered environment."""
    return f"agentrl/{name}-v0"


def register_all() -> None:
    """Register every environment with Gymnasium that it does not know yet; imports none of them."""
    from gymnasium.envs.registration import ENV_ID_RE, register
    from gymnasium.envs.registration import registry as known

    from agentrl import registry

    for name in registry.names("environments"):
        env_id = gymnasium_id(name)
        if env_id not in known and ENV_ID_RE.fullmatch(env_id):
            register(env_id, entry_point="agentrl.registry:make", kwargs={"name": name})


def register_with_gymnasium() -> None:
    """Register now where Gymnasium is loaded, otherwise once it has been imported."""
    if _PACKAGE in sys.modules:
        register_all()
    elif not any(isinstance(finder, _OnceImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OnceImported())


class _OnceImported:
    """Waits for the import of Gymnasium, and registers after it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _PACKAGE:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            register_all()

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec
