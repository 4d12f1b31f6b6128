"""How far annotators agree, beyond what chance would give."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from scipy.stats import binomtest


def krippendorff_alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Return Krippendorff's alpha for nominal values, each unit being the values that it was given.

    Units with fewer than two values say nothing and are left out. Nothing where no unit is left, or where only one
    value was ever given, since chance then agrees as well. Krippendorff 2011, "Computing Krippendorff's
    Alpha-Reliability", section C: alpha = 1 − (n − 1) Σ o_ck / Σ n_c n_k over c ≠ k.
    """
    counts = [Counter(unit) for unit in units if len(unit) > 1]
    totals = sum(counts, Counter[Hashable]())
    n = totals.total()
    expected = n * n - sum(count * count for count in totals.values())
    if not expected:
        return None
    # A unit's pairs of unequal values, each weighted by 1 / (m − 1) for its m values.
    observed = sum(
        (unit.total() ** 2 - sum(count * count for count in unit.values())) / (unit.total() - 1) for unit in counts
    )
    return 1 - (n - 1) * observed / expected


def cohen_kappa(one: Sequence[Hashable], other: Sequence[Hashable]) -> float | None:
    """Return Cohen's kappa of two annotators' values for the same units.

    Nothing where there are no units, or where both gave one and the same value throughout. Cohen 1960, equation 1.
    """
    n = len(one)
    first, second = Counter(one), Counter(other)
    by_chance = sum(count * second[value] for value, count in first.items())
    if n * n == by_chance:  # also where both are empty
        return None
    observed = sum(a == b for a, b in zip(one, other, strict=True)) / n
    return (observed - by_chance / n**2) / (1 - by_chance / n**2)


def side_bias(left: int, right: int) -> float:
    """Return the probability of sides at least this uneven from someone who does not favour one (exact binomial)."""
    return float(binomtest(left, left + right, 0.5).pvalue) if left + right else 1.0
