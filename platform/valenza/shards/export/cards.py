"""The dataset card that Hugging Face reads: which files are which split, in which languages, under which licence."""

import re
from collections.abc import Mapping

import yaml

from valenza.shards.export.clips import StoredCorpus


def dataset_card(corpus: StoredCorpus, splits: Mapping[str, str]) -> str:
    """Return a README.md; `splits` are globs of files by split."""
    card = corpus.card
    head = {
        "pretty_name": card.title,
        "language": sorted({tag.split("-")[0] for tag in corpus.languages}),
        **_licence(card.licence),
        "task_categories": ["audio-classification"],
        "configs": [
            {"config_name": "default", "data_files": [{"split": s, "path": path} for s, path in splits.items()]}
        ],
    }
    lines = [f"# {card.title}", "", f"{len(corpus.clips)} clips of emotional speech, 16 kHz mono."]
    lines += [f"Licence: {card.licence}.", *([f"Source: {card.homepage}"] if card.homepage else [])]
    lines += ["", card.citation] if card.citation else []
    return "---\n" + yaml.safe_dump(head, allow_unicode=True, sort_keys=False) + "---\n" + "\n".join(lines) + "\n"


def _licence(written: str) -> dict[str, str]:
    """Return a licence as the Hub's cards name it, which know Creative Commons by codes and most others not at all."""
    slug = re.sub(r"[^a-z0-9.]+", "-", written.lower()).strip("-")
    if re.fullmatch(r"cc-by(-nc)?(-nd|-sa)?-[1-4]\.[05]|cc0-1\.0|mit|apache-2\.0", slug):
        return {"license": slug}
    return {"license": "other", "license_name": slug or "unknown"}
