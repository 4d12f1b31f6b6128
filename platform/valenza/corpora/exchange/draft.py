"""Words the manifest of an imported corpus, for its owner to complete."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from valenza.corpora.exchange.said import About
from valenza.corpora.scaffold import label_lines, quoted, scalar
from valenza.corpora.words import meanings


@dataclass(frozen=True)
class Outline:
    """What a manifest is made of."""

    corpus: str
    source: str
    """Name of the file or folder that was read."""
    about: About
    languages: Sequence[str]
    """What the clips say; first that of clips which say none, or else the most frequent."""
    licences: Sequence[str]
    files: Sequence[str]
    """The audio under the corpus root."""
    table: str
    columns: Sequence[str]
    votes: Sequence[str]
    """Native labels that have a column of votes."""
    labels: Mapping[str, int]
    """Native label → clips that it is the label of, or the most frequent vote."""
    speakers: int


def draft(outline: Outline) -> tuple[str, list[str]]:
    """Return the manifest as YAML, and the native labels whose meaning its owner has to fill in."""
    about = outline.about
    proposed = _proposed(outline)
    spoken = list(dict.fromkeys([*outline.languages, *about.languages]))
    unsaid = "" if spoken else "                # BCP-47, such as en, de or zh; und is undetermined"
    lines = [
        f"# Imported from {scalar(outline.source)} by `valenza corpus import`.",
        "# Look it over, fill in what the labels mean, then run `valenza corpus check`.",
        f"id: {outline.corpus}",
        f"title: {scalar(about.title or outline.corpus)}",
        f"languages: [{', '.join(spoken or ['und'])}]{unsaid}",
        f"licence: {scalar(', '.join(dict.fromkeys(filter(None, outline.licences))) or about.licence or 'unknown')}",
        f"homepage: {scalar(about.homepage)}",
        f"citation: {scalar(about.citation)}",
        f"audio: [{', '.join(map(quoted, _globs(outline.files)))}]",
        "pattern: '.+'                   # the table says what file names might",
    ]
    if "speaker" not in outline.columns:
        lines.append("speaker: unknown                # one for all, so that no score claims to be about new speakers")
    columns = ", ".join(f"{name}: {name}" for name in outline.columns)
    lines += ["tables:", f"  - path: {scalar(outline.table)}", '    delimiter: "\\t"', "    key: file"]
    lines += ["    match: '{path}'", f"    columns: {{{columns}}}"]
    if outline.votes:
        lines += ["    votes:", *(f"      {scalar(n)}: {scalar(f'votes {n}')}" for n in outline.votes)]
    lines.append("    selects: true                 # other files under the same folder are not part of the corpus")
    lines += label_lines(outline.labels, proposed)
    lines += ["# What was found today; published figures are better, since they notice what is missing."]
    lines += [f"expect: {{clips: {len(outline.files)}, speakers: {outline.speakers or 1}}}"]
    return "\n".join(lines) + "\n", [native for native in outline.labels if native not in proposed]


def _proposed(outline: Outline) -> dict[str, str]:
    """Propose meanings by the labels themselves, and by the source's own words for those that stay unknown."""
    proposed = meanings(outline.labels)
    words = {native: outline.about.words.get(native, "") for native in outline.labels if native not in proposed}
    explained = meanings(filter(None, words.values()))
    return proposed | {native: explained[word] for native, word in words.items() if word in explained}


def _globs(files: Sequence[str]) -> list[str]:
    """Return one glob for every depth and extension."""
    shapes = Counter((file.count("/"), file.rpartition(".")[2]) for file in files)
    return ["*/" * depth + f"*.{extension}" for depth, extension in sorted(shapes)]
