"""What the votes of a study say of the pairs and of the annotators."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from itertools import combinations
from typing import Any

from valenza.annotate.agreement import cohen_kappa, krippendorff_alpha, side_bias
from valenza.annotate.answers import LEAST_CATCH, Answers, Cast, catch_share, doubtful, repeats
from valenza.terminal import count, say, table


def report(answers: Answers, least: float = LEAST_CATCH) -> dict[str, Any]:
    """Return counts, agreement, side bias, catch trials and pace, overall and for each annotator.

    Agreement is over the plain pairs, with ties as an answer of their own; who cannot tell gave no answer.
    """
    by_annotator: dict[str, list[Cast]] = defaultdict(list)
    for vote in answers.cast:
        by_annotator[vote.annotator].append(vote)
    plain = [vote for vote in answers.standing if vote.pair.kind == "plain"]
    by_pair: dict[str, dict[str, str]] = defaultdict(dict)
    for vote in plain:
        by_pair[vote.pair.id][vote.annotator] = vote.answer
    judged = {pair: [a for a in told.values() if a != "cannot_tell"] for pair, told in by_pair.items()}
    return {
        "study": answers.study.title,
        "pairs": sum(pair.kind == "plain" for pair in answers.study.pairs),
        "judged": len(by_pair),
        "judged_by_several": sum(len(told) > 1 for told in by_pair.values()),
        "disputed": sum(_disputed(list(told.values())) for told in by_pair.values()),
        "invited": len(answers.invited),
        "alpha": krippendorff_alpha(judged.values()),
        "kappas": _kappas(by_pair),
        "least_catch": least,
        "doubtful": doubtful(answers.standing, least),
        "overall": _told(answers.cast),
        "annotators": {name: _told(by_annotator[name]) for name in sorted(by_annotator)},
    }


def _disputed(answers: Sequence[str]) -> bool:
    return 2 * max(Counter(answers).values()) <= len(answers)


def _kappas(by_pair: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    annotators = sorted({name for told in by_pair.values() for name in told})
    found = []
    for one, other in combinations(annotators, 2):
        both = [(told[one], told[other]) for told in by_pair.values() if one in told and other in told]
        both = [answers for answers in both if "cannot_tell" not in answers]
        if both:
            kappa = cohen_kappa([a for a, _ in both], [b for _, b in both])
            found.append({"annotators": [one, other], "pairs": len(both), "kappa": kappa})
    return found


def _told(cast: Collection[Cast]) -> dict[str, Any]:
    votes = [vote for vote in cast if not vote.undone]
    choices = Counter(vote.choice for vote in votes)
    passed, asked = catch_share(votes)
    same, again = repeats(votes)
    return {
        "votes": len(votes),
        "undone": len(cast) - len(votes),
        **{name: choices[name] for name in ("left", "right", "tie", "cannot_tell")},
        # Sides are drawn anew for each pair, so every vote tells of a habit, catch trials too.
        "side_bias_p": side_bias(choices["left"], choices["right"]),
        "catch_passed": passed,
        "catch_trials": asked,
        "repeats_same": same,
        "repeats": again,
        "median_seconds": statistics.median(v.milliseconds for v in votes) / 1000 if votes else None,
    }


def show_report(told: dict[str, Any]) -> None:
    """Print a report for people."""
    rows = [*told["annotators"].items()]
    if len(rows) > 1:
        rows.append(("all", told["overall"]))
    columns = ("annotator", "votes", "undone", "left", "right", "tie", "cannot tell", "side p", "catch", "repeats", "s")
    table(told["study"], columns, [_row(name, person) for name, person in rows])
    say(
        f"{told['judged']:,} of {count(told['pairs'], 'pair')} judged, {told['judged_by_several']:,} by several, "
        f"{told['disputed']:,} disputed; {told['invited']:,} invited"
    )
    alpha = "no pair has two answers that could differ" if told["alpha"] is None else f"{told['alpha']:.3f}"
    say(f"Krippendorff's alpha (nominal, ties are an answer): {alpha}")
    for pair in told["kappas"]:
        kappa = "undefined" if pair["kappa"] is None else f"{pair['kappa']:.3f}"
        say(f"Cohen's kappa of {' and '.join(pair['annotators'])}: {kappa} on {count(pair['pairs'], 'pair')}")
    for name in told["doubtful"]:
        person = told["annotators"][name]
        say(
            f"{name} passed {person['catch_passed']} of {count(person['catch_trials'], 'catch trial')}, "
            f"less than {100 * told['least_catch']:g} %; `valenza pairs export --min-catch` leaves their votes out"
        )


def _row(name: str, told: dict[str, Any]) -> tuple[object, ...]:
    seconds = told["median_seconds"]
    return (
        name,
        *(told[key] for key in ("votes", "undone", "left", "right", "tie", "cannot_tell")),
        f"{told['side_bias_p']:.3f}",
        f"{told['catch_passed']}/{told['catch_trials']}",
        f"{told['repeats_same']}/{told['repeats']}",
        "" if seconds is None else f"{seconds:.1f}",
    )
