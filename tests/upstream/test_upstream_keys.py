"""Keys of random trees of data plugins, made by the real strax and by us."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from twins import TIMES, our_context, their_context

import strax_core
from strax_core import Option

TEXTS = ("", "pax", "é", "日本語", "\U0001f4a1", 'quote " and \\', "a-b/c", "null")
SPELLINGS = ("attributes", "tuple", "decorator")


@dataclass
class OptionRecipe:
    name: str
    default: Callable[[], Any]
    how: str  # "default", "default_factory", or "none": then a value must be set
    is_tracked: bool
    value: Any  # what the config sets, if it does
    stands_for: str = ""  # an option of the parent, for a child option

    def arguments(self) -> dict[str, Any]:
        given = {"default": self.default(), "default_factory": self.default}
        child = {"child_option": True, "parent_option_name": self.stands_for}
        return (
            {"track": self.is_tracked}
            | {k: v for k, v in given.items() if k == self.how}
            | (child if self.stands_for else {})
        )


@dataclass
class Recipe:
    class_name: str
    provides: tuple[str, ...]
    depends_on: tuple[str, ...]
    version: str
    spelling: str
    options: list[OptionRecipe]
    inherited: list[OptionRecipe] = field(default_factory=list)
    is_child: bool = False
    parent_version: str = "0.0.0"
    n_parents: int = 1


def random_value(rng: random.Random, depth: int = 0) -> Any:
    scalars: list[Callable[[], Any]] = [
        lambda: None,
        lambda: rng.random() < 0.5,
        lambda: rng.randint(-(10**12), 10**12),
        lambda: rng.choice([0.0, -0.0, 1.0, 1e300, 0.1, float("inf"), rng.gauss(0, 1)]),
        lambda: rng.choice(TEXTS),
        lambda: np.int64(rng.randint(-(2**62), 2**62)),
        lambda: np.uint8(rng.randint(0, 255)),
        lambda: np.float64(rng.gauss(0, 1)),
        lambda: np.float32(rng.gauss(0, 1)),
    ]
    if depth > 2 or rng.random() < 0.5:
        return rng.choice(scalars)()
    members = [random_value(rng, depth + 1) for _ in range(rng.randint(0, 4))]
    shape = rng.choice(["list", "tuple", "dict", "numbered", "array"])
    if shape == "array":
        return np.array([rng.randint(0, 99) for _ in members] or [1])
    if shape == "dict":
        return {rng.choice(TEXTS) + str(i): member for i, member in enumerate(members)}
    if shape == "numbered":
        return {rng.randint(0, 9) * 10 + i: member for i, member in enumerate(members)}
    return tuple(members) if shape == "tuple" else members


def random_option(rng: random.Random, name: str) -> OptionRecipe:
    default = random_value(rng)
    if isinstance(default, np.ndarray):
        default = default.tolist()  # the real strax compares defaults with ==
    return OptionRecipe(
        name=name,
        default=lambda: default,
        how=rng.choice(["default", "default", "default_factory", "none"]),
        is_tracked=rng.random() < 0.75,
        value=random_value(rng),
    )


def random_tree(seed: int) -> list[Recipe]:
    """Return 1 to 8 recipes; each depends on none, one, two or three of those before it."""
    rng = random.Random(seed)  # noqa: S311 - to be repeatable, not secret
    shared = random_option(rng, "shared_by_several")
    recipes: list[Recipe] = []
    for i in range(rng.randint(1, 8)):
        wanted = 0 if i == 0 else rng.choice([0, 1, 1, 1, 2, 2, 3])
        options = [random_option(rng, f"option_{i}_{k}") for k in range(rng.randint(0, 4))]
        if rng.random() < 0.3:
            options.append(shared)
        makers = rng.sample(recipes, min(wanted, i))
        recipe = Recipe(
            class_name=rng.choice(["Peak", "HTTPThing", "S1S2", "Événement"]) + f"Maker{i}",
            provides=(f"type_{i}",) if rng.random() < 0.8 else (),
            depends_on=tuple(rng.choice(made_by(maker)) for maker in makers),
            version=rng.choice(["0.0.0", "1.2.3", "", "été"]),
            spelling=rng.choice(SPELLINGS),
            options=options,
            inherited=[random_option(rng, f"inherited_{i}")] if rng.random() < 0.2 else [],
        )
        if rng.random() < 0.3:
            recipe.provides = tuple(f"type_{i}_{k}" for k in rng.choice(["ab", "ba", "abc"]))
        if rng.random() < 0.3:
            make_child(rng, recipe, i)
        recipes.append(recipe)
    return recipes


def make_child(rng: random.Random, recipe: Recipe, i: int) -> None:
    """Let the parent have three options, of which up to two are replaced by the child's."""
    recipe.is_child = True
    recipe.inherited = [random_option(rng, f"inherited_{i}_{k}") for k in range(3)]
    recipe.parent_version = rng.choice(["0.0.0", "2.0"])
    recipe.n_parents = rng.choice([1, 1, 2, 3])
    for k in range(rng.randint(0, 2)):
        replacing = random_option(rng, f"replacing_{i}_{k}")
        replacing.stands_for = f"inherited_{i}_{k}"
        recipe.options = [*recipe.options, replacing]


def made_by(recipe: Recipe) -> tuple[str, ...]:
    """Return the data types: as written, or from the class's name by the real strax's rule."""
    names = {"Peak": "peak_maker", "HTTPThing": "http_thing_maker", "S1S2": "s1_s2_maker"}
    names["Événement"] = "événement_maker"
    kind, _, number = recipe.class_name.partition("Maker")
    return recipe.provides or (names[kind] + number,)


def attributes_of(recipe: Recipe) -> dict[str, Any]:
    are_several = len(recipe.provides) > 1
    body: dict[str, Any] = {
        "__version__": recipe.version,
        "child_plugin": recipe.is_child,
        "depends_on": recipe.depends_on,
        "dtype": dict.fromkeys(recipe.provides, TIMES) if are_several else TIMES,
        "data_kind": dict.fromkeys(recipe.provides, "things") if are_several else "things",
        "compute": lambda self, things: things,  # noqa: ARG005
    }
    return body | ({"provides": recipe.provides} if recipe.provides else {})


def their_class(upstream: ModuleType, recipe: Recipe) -> type:
    def with_options(made: type, options: list[OptionRecipe]) -> type:
        given = [upstream.Option(option.name, **option.arguments()) for option in options]
        return upstream.takes_config(*given)(made) if given else made

    body = {"depends_on": (), "__version__": recipe.parent_version}
    base = with_options(type("Base", (upstream.Plugin,), body), recipe.inherited)
    parents = (base, *other_parents(upstream, recipe))
    return with_options(type(recipe.class_name, parents, attributes_of(recipe)), recipe.options)


def other_parents(package: ModuleType, recipe: Recipe) -> tuple[type, ...]:
    """Return parents without options, which come after the one that has some."""
    body = {"depends_on": (), "__version__": "7"}
    return tuple(type(f"Other{k}", (package.Plugin,), body) for k in range(1, recipe.n_parents))


def our_class(recipe: Recipe) -> type:
    def with_options(
        name: str, parents: tuple[type, ...], body: dict[str, Any], options: list[OptionRecipe]
    ) -> type:
        if recipe.spelling == "attributes":
            given = {option.name: Option(**option.arguments()) for option in options}
            return type(name, parents, body | given)
        listed = tuple(Option(option.name, **option.arguments()) for option in options)
        if recipe.spelling == "tuple":
            return type(name, parents, body | ({"options": listed} if listed else {}))
        made = type(name, parents, body)
        return strax_core.takes_config(*listed)(made) if listed else made

    body = {"__version__": recipe.parent_version}
    base = with_options("Base", (strax_core.Plugin,), body, recipe.inherited)
    parents = (base, *other_parents(strax_core, recipe))
    return with_options(recipe.class_name, parents, attributes_of(recipe), recipe.options)


def configs_of(recipes: list[Recipe]) -> list[dict[str, Any]]:
    """Return three configs: only what must be set, every second option, and all."""
    options = [option for recipe in recipes for option in recipe.options + recipe.inherited]
    return [
        {o.name: o.value for i, o in enumerate(options) if o.how == "none" or i % 2 < more}
        for more in (0, 1, 2)
    ]


@pytest.mark.parametrize("number", range(100))
def test_a_random_tree_has_the_keys_that_strax_gives_it(
    upstream: ModuleType, tmp_path: Path, seed: int, number: int
) -> None:
    recipes = random_tree(seed + number)
    theirs = their_context(upstream, tmp_path, *(their_class(upstream, r) for r in recipes))
    ours = our_context(tmp_path, *map(our_class, recipes))

    for config in configs_of(recipes):
        theirs.set_config(config)
        ours.set_config(config)
        data_types = [name for recipe in recipes for name in made_by(recipe)]
        assert [str(ours.key_for("run_7", name)) for name in data_types] == [
            str(theirs.key_for("run_7", name)) for name in data_types
        ], f"tree {seed + number}"


def test_the_random_trees_have_lines_forks_and_diamonds_and_all_spellings() -> None:
    trees = [random_tree(seed) for seed in range(100)]
    recipes = [recipe for tree in trees for recipe in tree]

    assert {len(tree) for tree in trees} == set(range(1, 9))
    assert {len(recipe.depends_on) for recipe in recipes} == {0, 1, 2, 3}
    assert {recipe.spelling for recipe in recipes} == set(SPELLINGS)
    assert sum(has_a_diamond(tree) for tree in trees) > 10
    options = [option for recipe in recipes for option in recipe.options]
    assert {option.how for option in options} == {"default", "default_factory", "none"}
    assert {option.is_tracked for option in options} == {True, False}
    assert {len(recipe.provides) for recipe in recipes} == {0, 1, 2, 3}
    children = [recipe for recipe in recipes if recipe.is_child]
    assert {recipe.n_parents for recipe in children} == {1, 2, 3}
    replacing = [{o.is_tracked for o in child.options if o.stands_for} for child in children]
    assert all(kinds in replacing for kinds in (set(), {True}, {False}, {True, False}))


def has_a_diamond(tree: list[Recipe]) -> bool:
    ways: dict[str, list[str]] = {}  # one entry for each way to reach a data type
    for recipe in tree:
        below = [name for needed in recipe.depends_on for name in (needed, *ways[needed])]
        ways |= dict.fromkeys(made_by(recipe), below)
    return any(len(set(below)) < len(below) for below in ways.values())
