"""The layers point one way, and the habits that a reader relies on hold in every module."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src"


def modules_of(package: str) -> list[str]:
    """Every module of a package, as its path below `src`."""
    return sorted(p.relative_to(SOURCE).as_posix() for p in (SOURCE / package).rglob("*.py"))


# The emulator is a package of its own; the habits hold in both, the layers are those of reembed.
MODULES, EMULATOR = modules_of("reembed"), modules_of("reembed_emulator")
EVERY_MODULE = [*MODULES, *EMULATOR]

# A layer may import from those before it and from itself; layers of one line not from each other.
ORDER: tuple[tuple[str, ...], ...] = (
    ("version", "types", "errors", "registry"),
    ("cloud",),
    ("config",),
    ("formats",),
    ("core",),
    ("machine",),
    ("storage",),
    ("providers",),
    ("ledger",),
    ("notifications",),
    ("sources", "destinations"),
    ("bigquery",),
    ("driver",),
    ("beam",),
    ("runs",),
    ("beam.embed", "api"),
    ("cli",),
    ("__main__",),
)
RANK = {layer: rank for rank, layers in enumerate(ORDER) for layer in layers}

NOT_IN_CORE = {
    "apache_beam",
    "google",
    "http",
    "httpx",
    "multiprocessing",
    "random",
    "requests",
    "secrets",
    "socket",
    "subprocess",
    "time",
    "urllib.request",
    "uuid",
}
# Packages whose modules decide: bytes and values in, values out.
PURE = tuple(f"reembed/{name}/" for name in ("config", "formats", "core", "machine"))
LONGEST_FILE, LONGEST_FUNCTION = 600, 60


@dataclass(frozen=True)
class Import:
    """One import: `target` is the module, or the name in it where that is a module too."""

    target: str
    line: int
    delayed: bool


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse((SOURCE / module).read_text(encoding="utf-8"), filename=module)


def dotted(module: str) -> str:
    return module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def package_of(name: str) -> str:
    return name.split(".")[0]


NAMES = {dotted(module): module for module in EVERY_MODULE}


@cache
def imports_of(module: str) -> tuple[Import, ...]:
    """Every import of a module, those inside functions too, those only for types left out."""
    return tuple(_imports(tree_of(module), delayed=False))


def _imports(node: ast.AST, delayed: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, delayed) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: import by the full name"
            for alias in child.names:
                inner = f"{child.module}.{alias.name}"
                target = inner if inner in NAMES else str(child.module)
                yield Import(target, child.lineno, delayed)
        elif isinstance(child, ast.If) and _only_for_types(child):
            yield from _imports(ast.Module(child.orelse, []), delayed)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, delayed or inside)


def _only_for_types(node: ast.If) -> bool:
    return ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def layer_of(name: str) -> str:
    if name == "reembed.beam.embed":
        return "beam.embed"  # a whole run as one step of a pipeline: it stands on the verbs
    return name.split(".")[1] if "." in name else "version"


def functions_of(module: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_every_module_is_in_a_known_layer() -> None:
    unknown = {layer_of(dotted(module)) for module in MODULES} - set(RANK)
    assert not unknown, f"no place in ORDER for {sorted(unknown)}"


def test_a_layer_imports_only_from_the_layers_before_it() -> None:
    for module in MODULES:
        layer = layer_of(dotted(module))
        for found in imports_of(module):
            if package_of(found.target) != "reembed":
                continue
            other = layer_of(found.target)
            right = other == layer or RANK[other] < RANK[layer]
            if RANK[layer] == 0:
                right = True  # the first layer: the cycle test watches them
            assert right, f"{module}:{found.line}: {layer} imports {found.target}"


def test_the_emulator_imports_nothing_of_reembed() -> None:
    assert EMULATOR, "no module of the emulator was found: this test looks at nothing"
    for module in EMULATOR:
        for found in imports_of(module):
            assert package_of(found.target) != "reembed", f"{module}:{found.line}: {found.target}"


def test_only_its_command_imports_the_emulator() -> None:
    users = {
        module
        for module in MODULES
        for found in imports_of(module)
        if package_of(found.target) == "reembed_emulator"
    }
    assert users == {"reembed/cli/emulator.py"}


def test_what_decides_touches_no_network_clock_or_chance() -> None:
    for module in [m for m in MODULES if m.startswith(PURE)]:
        for found in imports_of(module):
            names = {found.target, found.target.split(".")[0]}
            assert not names & NOT_IN_CORE, f"{module}:{found.line} imports {found.target}"
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.Attribute):
                text = ast.unparse(node)
                assert text not in ("os.environ", "datetime.now"), f"{module}:{node.lineno}: {text}"


def test_what_decides_opens_no_path() -> None:
    for module in [m for m in MODULES if m.startswith(PURE)]:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "open", f"{module}:{node.lineno} opens a path"


def test_beam_is_imported_by_its_own_package_alone() -> None:
    users = {m for m in EVERY_MODULE for i in imports_of(m) if i.target.startswith("apache_beam")}
    strangers = {m for m in users if not m.startswith("reembed/beam/")}
    assert users, "nothing imports Beam: this test looks at nothing"
    assert not strangers


def test_there_is_no_import_cycle() -> None:
    graph = {
        name: {i.target for i in imports_of(m) if i.target in NAMES and not i.delayed}
        for name, m in NAMES.items()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_every_module_says_what_it_is_for() -> None:
    for module in EVERY_MODULE:
        said = ast.get_docstring(tree_of(module))
        assert said, f"{module} has no docstring"
        assert said.splitlines()[0].endswith((".", ":", "?")), f"{module}: {said.splitlines()[0]!r}"


def test_the_library_prints_nothing() -> None:
    for module in EVERY_MODULE:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{module}:{node.lineno} prints"


def test_files_and_functions_stay_small() -> None:
    for module in EVERY_MODULE:
        lines = len((SOURCE / module).read_text(encoding="utf-8").splitlines())
        assert lines <= LONGEST_FILE, f"{module} has {lines} lines: split it"
        for function in functions_of(module):
            length = (function.end_lineno or 0) - function.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{module}: {function.name} has {length} lines"


def test_broad_excepts_are_marked_and_few() -> None:
    for module in EVERY_MODULE:
        broad = [
            node
            for node in ast.walk(tree_of(module))
            if isinstance(node, ast.ExceptHandler)
            and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
        ]
        swallowed = [node for node in broad if not _raises_again(node)]
        text = (SOURCE / module).read_text(encoding="utf-8").splitlines()
        for node in swallowed:
            # The comment stands on the line or right around it, and says why.
            near = " ".join(text[max(0, node.lineno - 4) : node.lineno + 3])
            assert "#" in near or '"""' in near, (
                f"{module}:{node.lineno}: a broad except without why"
            )
        assert len(swallowed) <= 1, f"{module} swallows everything in {len(swallowed)} places"


def _raises_again(node: ast.ExceptHandler) -> bool:
    return any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))


def test_all_names_what_exists() -> None:
    for module in EVERY_MODULE:
        loaded = importlib.import_module(dotted(module))
        listed = getattr(loaded, "__all__", None)
        if listed is not None:
            assert len(listed) == len(set(listed))
            missing = [name for name in listed if not hasattr(loaded, name)]
            assert not missing, f"{module}: __all__ names {missing}"


def _classes_of(module: str) -> Iterator[tuple[ast.ClassDef, set[str]]]:
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ClassDef):
            yield node, {ast.unparse(base).rsplit(".", 1)[-1] for base in node.bases}


def test_dofns_are_private_and_thin_steps_are_named_verb_noun() -> None:
    dofns = transforms = 0
    for module in EVERY_MODULE:
        for node, bases in _classes_of(module):
            if "DoFn" in bases:
                dofns += 1
                assert node.name.startswith("_"), f"{module}: {node.name} is a public DoFn"
            if "PTransform" in bases:
                transforms += 1
                # `Embed` alone has no noun: it takes whatever a caller's pipeline has.
                assert re.fullmatch(r"Embed|[A-Z][a-z]+[A-Z][a-z]+\w*", node.name), node.name
                expand = next(f for f in node.body if getattr(f, "name", "") == "expand")
                length = (expand.end_lineno or 0) - expand.lineno + 1
                assert length <= 12, f"{module}: {node.name}.expand only wires"
    assert dofns, "no DoFn was found: this test looks at nothing"
    assert transforms, "no PTransform was found: this test looks at nothing"


def test_zips_are_strict() -> None:
    for module in EVERY_MODULE:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "zip":
                said = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert said.get("strict") == "True", f"{module}:{node.lineno}: zip(strict=True)"
