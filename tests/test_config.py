"""YAML as people mean it, and every mistake explained rather than thrown."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from valenza.config import Document, Settings, load, suggestion
from valenza.errors import UsageError
from valenza.mixture.admission import problems
from valenza.recipe import Recipe

RECIPE = """stage: utterance
data: {shards: nowhere, train: {a: 1}}
encoder: {new: {width: 32}}
training: {steps: 5}
"""


class Inner(Settings):
    """A section."""

    names: tuple[str, ...] = ()
    either: int | str = 0


class Outer(Settings):
    """A file."""

    inner: Inner = Inner()
    rate: float = 0.5
    parts: tuple[Inner, ...] = ()


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def to_file(text: str | bytes) -> Path:
        path = tmp_path / "file.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return to_file


def refused(path: Path, *overrides: str, model: type[Settings] = Recipe) -> str:
    with pytest.raises(UsageError) as caught:
        load(model, path, overrides, also=problems)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        (".5", 0.5),
        ("-.5e3", -500.0),
        ("01", "01"),
        ("007", "007"),
        ("0", 0),
        ("0.5", 0.5),
        ("40_000", 40_000),
        ("-3", -3),
        ("0x10", "0x10"),
        ("0o17", "0o17"),
        ("12:30", "12:30"),
        ("2026-11-21", "2026-11-21"),
        ("~", None),
        ("", None),
        ("null", None),
        ("'1'", "1"),
        ("=", "="),
        ("[no, 01, 1e-3]", ["no", "01", 1e-3]),
    ],
)
def test_plain_values_mean_what_they_look_like(write: Any, text: str, value: object) -> None:
    read = Document(write(f"key: {text}\n")).values["key"]
    assert read == value
    assert type(read) is type(value)


def test_keys_are_names_whatever_they_look_like(write: Any) -> None:
    assert Document(write("{03: M, no: x, 1e-4: y, null: z}")).values == {
        "03": "M",
        "no": "x",
        "1e-4": "y",
        "null": "z",
    }


def test_a_key_that_is_set_twice_is_told_with_its_second_line(write: Any) -> None:
    told = refused(write(RECIPE + "seed: 1\nseed: 2\n"))
    assert told.endswith("file.yaml:6: seed is set twice")


def test_aliases_are_refused(write: Any) -> None:
    assert "file.yaml:2: not YAML: aliases" in refused(write("a: &x [1]\nb: *x\n"))


@pytest.mark.parametrize("depth", [25, 3_000])
def test_deep_nesting_is_refused(write: Any, depth: int) -> None:
    assert "not YAML" in refused(write("a: " + "[" * depth + "]" * depth))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"a: \xff\xfe\x00", "cannot be read"),
        ("- a\n- b\n", "file.yaml:1: expected settings"),
        ("word", "expected settings"),
        ("a: [1\nb: 2", "file.yaml:2: not YAML"),
        ("a: 1\n---\nb: 2", "not YAML"),
        ("seed: !!python/object/apply:os.system [id]", "seed: input should be a valid integer"),
        ("seed: !!bool maybe", "not YAML"),
        ("seed: !!timestamp never", "not YAML"),
        ("seed: !!int ''", "not YAML"),
        ('seed: "\\UFFFFFFFF"', "not YAML"),
        ("seed: " + "1" * 5_000, "not YAML"),
        ("", "stage is required"),
        ("# nothing\n", "training is required"),
    ],
)
def test_files_that_are_not_settings_are_explained(write: Any, text: str | bytes, told: str) -> None:
    assert told in refused(write(text))


def test_a_file_that_is_not_there_or_not_a_file(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refused(tmp_path / "none.yaml")
    assert "cannot be read" in refused(tmp_path)


@pytest.mark.parametrize("key", ["str", "int", "'[key]'", "'a[b'"])
def test_keys_that_look_like_the_branch_of_a_union_are_told_too(write: Any, key: str) -> None:
    assert f"file.yaml:5: {key.strip(chr(39))} is not a setting" in refused(write(RECIPE + f"{key}: 1\n"))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("data: {shards: s, train: {a: 1}, zero_shot: [{b: 1}]}", "data.zero_shot.0"),
        ("data: {shards: s, train: {a: 1}, zero_shot: [[b]]}", "data.zero_shot.0"),
        ("data: {shards: s, train: {a: 1}, zero_shot: [a]}", "a is trained on"),
        ("data: {shards: s, train: {}}", "data.train"),
        ("data: {shards: s, train: [a]}", "data.train"),
        ("data: []", "data"),
        ("encoder: {}", "give either `name`"),
        ("encoder: {name: x, new: {}}", "give either `name`"),
        ("encoder: {new: {width: 30, attention_heads: 4}}", "not a multiple"),
        ("augment: {versions: 3}", "nothing is changed"),
        ("augment: {versions: 1, gain: 1}", "greater than or equal to 2"),
        ("augment: {versions: 3, drawn: batch, gain: 1}", "drawn by clip"),
        ("augment: {gain: 3}", "augment.gain.p: input should be less than or equal to 1"),
        ("augment: {speed: {ratio: [1.1, 0.9]}}", "first number is above the second"),
        ("heads: {emotion: dirichlet}", "give it a weight"),
        ("objective: {dirichlet: 1, label_smoothing: 0.1}", "is the loss of `heads: {emotion: dirichlet}`"),
        ("heads: {emotion: dirichlet}\nobjective: {dirichlet: 1}", "targets inside the simplex"),
        ("training: {steps: 5, peak_lr: .inf}", "finite"),
        ("training: {steps: 5, weight_decay: .nan}", "finite"),
    ],
)
def test_contradictions_and_odd_shapes_are_mistakes_and_not_failures(write: Any, line: str, told: str) -> None:
    section = line.split(":")[0]
    kept = [text for text in RECIPE.splitlines() if not text.startswith(section)]
    assert told in refused(write("\n".join([*kept, line])))


@pytest.mark.parametrize("folder", ['"\\0"', "x" * 5_000])
def test_a_folder_that_cannot_exist_is_a_mistake(write: Any, folder: str) -> None:
    text = RECIPE.replace("nowhere", folder)
    try:
        load(Recipe, write(text), also=problems)
    except UsageError as error:
        assert "data.shards" in str(error)  # noqa: PT017 - whether it is one differs between Pythons


def test_overrides_come_after_the_file_and_are_named_in_mistakes(write: Any) -> None:
    path = write(RECIPE)
    recipe = load(
        Recipe,
        path,
        [
            "training.peak_lr=1e-4",
            "data.train={b: .5, no: 2}",
            "augment={versions: 3, gain: 0.5}",
            "encoder.freeze=[all]",
        ],
    )
    assert recipe.training.peak_lr == 1e-4
    assert recipe.data.train == {"b": 0.5, "no": 2}
    assert recipe.augment.versions == 3
    assert recipe.augment.gain is not None
    assert recipe.augment.gain.p == 0.5
    assert recipe.encoder.freeze == ("all",)
    told = refused(
        path, "training.step=3", "seed=x", "oops", "a..b=1", "seed=[", "seed=" + "[" * 3_000, "seed=" + "1" * 5_000
    )
    assert told.count("command line: ") == len(told.splitlines()) >= 6
    assert "training.step is not a setting; did you mean 'steps'?" in told
    assert "'oops' is not of the form section.key=value" in told


def test_each_branch_of_a_union_is_read_and_explained(write: Any) -> None:
    assert load(Outer, write("inner: {either: 3}")).inner.either == 3
    assert load(Outer, write("inner: {either: '3'}")).inner.either == "3"
    told = refused(write("rate: fast\ninner: {either: [1], nams: [a]}\nparts:\n  - {}\n  - {name: [b]}\n"), model=Outer)
    assert "file.yaml:1: rate: input should be a valid number" in told
    assert "file.yaml:2: inner.either: " in told
    assert "file.yaml:2: inner.nams is not a setting; did you mean 'names'?" in told
    assert "file.yaml:5: parts.1.name is not a setting; did you mean 'names'?" in told


def test_suggestions_are_near_or_absent() -> None:
    assert suggestion("anagry", ["anger", "sadness"]) == "; did you mean 'anger'?"
    assert suggestion("xyz", ["anger", "sadness"]) == ""


def reads_or_explains(path: Path, text: bytes, *overrides: str) -> None:
    path.write_bytes(text)
    with suppress(UsageError):
        load(Recipe, path, overrides, also=problems)


names = st.sampled_from(
    ["stage", "seed", "data", "train", "zero_shot", "shards", "encoder", "new", "name", "width", "attention_heads",
     "augment", "gain", "versions", "training", "steps", "str", "a[b", "<<", "~", "", "."]
)  # fmt: skip
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["utterance", "!!bool x", "&a b", "*a"]),
)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=12
)


def flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"'{k}': {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return str(value)


once = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@once
@given(text=st.binary(max_size=60) | st.text(alphabet="{}[]:,-!&*'\"|>%@`#?~ \n\tab01._", max_size=40).map(str.encode))
@example(b"? [a]\n: b")
@example(b"!!set {a}")
@example(b"{a: !!omap [b]}")
def test_any_bytes_are_read_or_explained(tmp_path: Path, text: bytes) -> None:
    reads_or_explains(tmp_path / "r.yaml", text)


@once
@given(tree=st.dictionaries(names, trees, max_size=6))
def test_any_tree_is_read_or_explained(tmp_path: Path, tree: dict[str, Any]) -> None:
    reads_or_explains(tmp_path / "r.yaml", flow(tree).encode("utf-8", "surrogatepass"))


@once
@given(
    override=st.text(alphabet="ab.={}[]:!&*1e-'\" ", max_size=20)
    | st.tuples(names, trees).map(lambda t: f"{t[0]}={flow(t[1])}")
)
def test_any_override_is_read_or_explained(tmp_path: Path, override: str) -> None:
    reads_or_explains(tmp_path / "r.yaml", RECIPE.encode(), override)
